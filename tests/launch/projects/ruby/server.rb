require "socket"

server = TCPServer.new("0.0.0.0", 4567)
loop do
  client = server.accept
  nil until (line = client.gets).nil? || line.strip.empty?
  body = "hello from ruby"
  client.print "HTTP/1.1 200 OK\r\nContent-Length: #{body.bytesize}\r\nConnection: close\r\n\r\n#{body}"
  client.close
end
