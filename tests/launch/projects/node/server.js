const http = require("node:http");

http.createServer((_, answer) => answer.end("hello from node")).listen(process.env.PORT);
