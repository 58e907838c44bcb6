//! One plain HTTP request over a connection of its own: enough to ask a server whether it is up and to look into it by
//! another door than the one under test.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// One request without a body; status and body.
pub(crate) fn ask(port: u16, method: &str, path: &str) -> std::io::Result<(u16, Vec<u8>)> {
    send(port, method, path, "", b"")
}

/// One request. `headers` are whole lines.
pub(crate) fn send(
    port: u16,
    method: &str,
    path: &str,
    headers: &str,
    body: &[u8],
) -> std::io::Result<(u16, Vec<u8>)> {
    let mut connection = TcpStream::connect(("127.0.0.1", port))?;
    connection.set_read_timeout(Some(Duration::from_secs(30)))?;
    let head = format!(
        "{method} {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\nAccept: application/json\r\n{headers}Content-Length: {}\r\n\r\n",
        body.len()
    );
    connection.write_all(head.as_bytes())?;
    connection.write_all(body)?;
    let mut reader = BufReader::new(connection);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let mut length = None;
    while line.trim_end() != "" {
        line.clear();
        reader.read_line(&mut line)?;
        let header = line.split_once(':').filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        length = length.or(header.and_then(|(_, value)| value.trim().parse::<u64>().ok()));
    }
    let mut body = Vec::new();
    // Not every server closes the connection after its answer.
    reader.take(length.unwrap_or(u64::MAX)).read_to_end(&mut body)?;
    Ok((status, body))
}
