const express = require("express");

const app = express();
const tasks = [{ id: 1, title: "Try the preview", done: false }];
app.use(express.json());

app.get("/", (request, response) => response.json({ tasks: "/tasks" }));

app.get("/tasks", (request, response) => {
  console.log(`listing ${tasks.length} tasks`);
  response.json(tasks);
});

app.post("/tasks", (request, response) => {
  const title = request.body?.title;
  if (typeof title !== "string" || title === "") return response.status(400).json({ error: "Send a title." });
  const task = { id: tasks.length + 1, title, done: false };
  tasks.push(task);
  response.status(201).json(task);
});

app.listen(process.env.PORT || 3000, () => console.log("ready"));
