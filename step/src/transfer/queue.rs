//! A short queue of blocks between the thread that reads or writes a file and what sends or receives it.

use std::io::{self, Read, Write};

use tokio::sync::mpsc;

/// The end of a queue that a thread writes into.
pub(super) struct Sending {
    sender: mpsc::Sender<Vec<u8>>,
}

impl Sending {
    pub(super) fn new(sender: mpsc::Sender<Vec<u8>>) -> Self {
        Self { sender }
    }
}

impl Write for Sending {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.sender.blocking_send(bytes.to_vec());
        sent.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The end of a queue that a thread reads from.
pub(super) struct Receiving {
    blocks: mpsc::Receiver<Vec<u8>>,
    block: Vec<u8>,
    read: usize,
}

impl Receiving {
    pub(super) fn new(blocks: mpsc::Receiver<Vec<u8>>) -> Self {
        Self {
            blocks,
            block: Vec::new(),
            read: 0,
        }
    }
}

impl Read for Receiving {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.read == self.block.len() {
            match self.blocks.blocking_recv() {
                Some(block) => (self.block, self.read) = (block, 0),
                None => return Ok(0),
            }
        }
        let rest = &self.block[self.read..];
        let length = rest.len().min(into.len());
        into[..length].copy_from_slice(&rest[..length]);
        self.read += length;
        Ok(length)
    }
}
