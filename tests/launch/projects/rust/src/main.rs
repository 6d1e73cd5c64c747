use std::env;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;

fn main() -> std::io::Result<()> {
    let port = env::var("PORT").unwrap_or_default();
    for stream in TcpListener::bind(format!("0.0.0.0:{port}"))?.incoming() {
        let mut stream = stream?;
        let mut lines = BufReader::new(stream.try_clone()?).lines();
        while matches!(lines.next(), Some(Ok(line)) if !line.is_empty()) {}
        let body = "hello from rust";
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
        let _ = stream.write_all(format!("{head}{body}").as_bytes());
    }
    Ok(())
}
