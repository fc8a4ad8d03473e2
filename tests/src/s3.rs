//! A server that speaks S3, on an address of this machine: `moto_server`.
//!
//! What enters: the address. What leaves: its URL, with an empty bucket. What must never happen: that it outlives its
//! test.
//!
//! koncli's tests include it by its path, because koncli may not use this crate.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

/// The bucket that it has.
pub const BUCKET: &str = "bucket";
const PROGRAM: &str = "moto_server";

/// Returns why no server can be started on this machine, if none can.
pub fn missing() -> Option<String> {
    let output = Command::new(PROGRAM).arg("--help").output();
    let is_there = output.is_ok_and(|output| output.status.success());
    (!is_there).then(|| format!("{PROGRAM} is not installed: pip install 'moto[server]'"))
}

/// A server. Dropping it ends it.
#[derive(Debug)]
pub struct S3 {
    server: Child,
    /// Its URL.
    pub url: String,
}

impl S3 {
    /// Starts one on a free port of an address, and creates [`BUCKET`].
    ///
    /// # Panics
    /// If it does not start.
    pub fn start(address: &str) -> Self {
        let mut server = Command::new(PROGRAM)
            .args(["-H", address, "-p", "0"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("moto_server starts");
        let said = BufReader::new(server.stderr.take().expect("its stderr"));
        let mut server = Self {
            server,
            url: String::new(),
        };
        let mut lines = said.lines();
        let line = lines
            .by_ref()
            .map_while(Result::ok)
            .find(|line| line.contains("Running on"))
            .expect("moto_server runs");
        let port = line
            .trim()
            .rsplit(':')
            .next()
            .and_then(|port| port.parse().ok());
        let port: u16 = port.expect("a port");
        server.url = format!("http://{address}:{port}");
        // Somebody must read what it says about each request.
        std::thread::spawn(move || lines.for_each(drop));
        let mut connection = TcpStream::connect((address, port)).expect("a connection");
        let request = format!(
            "PUT /{BUCKET} HTTP/1.1\r\nHost: {address}:{port}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        connection.write_all(request.as_bytes()).expect("sent");
        let mut answer = String::new();
        connection.read_to_string(&mut answer).expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        server
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
