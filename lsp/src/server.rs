//! The loop: messages in and out, until the editor ends the session.
//!
//! What enters: bytes of the client. What leaves: one response for each request, and diagnostics. What must
//! never happen here: an end of the session that the client did not ask for, as long as it is known where a
//! message begins.

use std::io::{self, BufRead, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, sync_channel};

use serde_json::{Value, json};

use crate::session::{Refusal, Session};
use crate::wire::{self, Error, ErrorCode, Message};
use crate::world::Disk;

/// How many messages wait to be answered; then the client waits.
const QUEUE: usize = 64;

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// After `shutdown`, or because the client has gone.
    Expected,
    /// By `exit` without `shutdown`, which the protocol calls a failure.
    Abrupt,
}

/// How far a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    New,
    Running,
    ShutDown,
}

/// Serves one editor until it ends the session.
///
/// # Errors
/// If what comes in is not the protocol, or nobody reads what goes out.
pub fn serve(
    mut input: impl BufRead + Send + 'static,
    output: impl Write,
    disk: Box<dyn Disk>,
) -> io::Result<End> {
    let (sender, receiver) = sync_channel(QUEUE);
    // It is not waited for: after `exit` it may still wait for a byte that never comes.
    std::thread::Builder::new()
        .name("lsp-input".to_owned())
        .spawn(move || {
            loop {
                let message = wire::read(&mut input).transpose();
                let Some(message) = message else { break };
                let is_last = message.is_err();
                if sender.send(message).is_err() || is_last {
                    break;
                }
            }
        })?;
    let server = Server {
        session: Session::new(disk),
        phase: Phase::New,
        output,
    };
    server.run(&receiver)
}

struct Server<W> {
    session: Session,
    phase: Phase,
    output: W,
}

impl<W: Write> Server<W> {
    fn run(mut self, messages: &Receiver<io::Result<Message>>) -> io::Result<End> {
        while let Ok(message) = messages.recv() {
            // What came in meanwhile goes first: of many changes only the last is compiled.
            let mut next = Some(message);
            while let Some(message) = next {
                if let Some(end) = self.take(message?)? {
                    return Ok(end);
                }
                next = messages.try_recv().ok();
            }
            self.publish()?;
        }
        Ok(End::Expected)
    }

    /// Takes one message; returns how the session ends, if it does.
    fn take(&mut self, message: Message) -> io::Result<Option<End>> {
        match message {
            Message::Request { id, method, params } => {
                let result = self.answer(&method, params);
                self.send(&wire::response(&id, result))?;
            }
            Message::Notification { method, params } => match (&*method, self.phase) {
                ("exit", Phase::ShutDown) => return Ok(Some(End::Expected)),
                ("exit", _) => return Ok(Some(End::Abrupt)),
                ("initialized", Phase::Running) => self.register()?,
                (_, Phase::Running) => {
                    guarded(|| self.session.notify(&method, params));
                }
                // Nothing is open before, and nothing is read after.
                _ => {}
            },
            Message::Response => {}
            Message::Malformed { id, error } => self.send(&wire::response(&id, Err(error)))?,
        }
        Ok(None)
    }

    fn answer(&mut self, method: &str, params: Value) -> Result<Value, Error> {
        let invalid = |problem: &str| Err(Error::new(ErrorCode::InvalidRequest, problem));
        let answered = match (method, self.phase) {
            (_, Phase::ShutDown) => return invalid("the session was shut down"),
            ("initialize", Phase::Running) => return invalid("the session has already begun"),
            ("initialize", Phase::New) => {
                let answered = guarded(|| self.session.initialize(params));
                if matches!(answered, Some(Ok(_))) {
                    self.phase = Phase::Running;
                }
                answered
            }
            (_, Phase::New) => {
                let problem = "the session has not begun: `initialize` comes first";
                return Err(Error::new(ErrorCode::NotInitialized, problem));
            }
            ("shutdown", Phase::Running) => {
                self.phase = Phase::ShutDown;
                return Ok(Value::Null);
            }
            (_, Phase::Running) => guarded(|| self.session.request(method, params)),
        };
        let Some(answered) = answered else {
            let problem = format!("{method} failed inside koncli; its log has the reason");
            return Err(Error::new(ErrorCode::Internal, problem));
        };
        answered.map_err(|refusal| {
            let code = match refusal {
                Refusal::Unknown => ErrorCode::MethodNotFound,
                Refusal::Parameters(_) => ErrorCode::InvalidParams,
                Refusal::Impossible(_) => ErrorCode::RequestFailed,
            };
            Error::new(code, refusal.to_string())
        })
    }

    /// Asks the editor to report changes of files on disk, if it can.
    fn register(&mut self) -> io::Result<()> {
        if !self.session.is_client_watching() {
            return Ok(());
        }
        let watchers = json!({"watchers": [{"globPattern": "**/*.kon"}]});
        let method = "workspace/didChangeWatchedFiles";
        let registration = json!({"id": "files", "method": method, "registerOptions": watchers});
        let params = json!({"registrations": [registration]});
        let request = wire::call(Some("files"), "client/registerCapability", params);
        self.send(&request)
    }

    fn publish(&mut self) -> io::Result<()> {
        let all = guarded(|| self.session.publish()).unwrap_or_default();
        for diagnostics in all {
            let params = serde_json::to_value(diagnostics)?;
            let method = "textDocument/publishDiagnostics";
            self.send(&wire::call(None, method, params))?;
        }
        Ok(())
    }

    fn send(&mut self, message: &Value) -> io::Result<()> {
        wire::write(&mut self.output, message)
    }
}

/// Runs one answer. A fault in it must not take away the session, in which there may be text that is not
/// saved; it is printed on stderr, which editors keep as a log.
fn guarded<T>(work: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(work)).ok()
}
