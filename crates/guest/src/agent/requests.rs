//! One request: a total match from what is asked to what does it.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use pinfold_proto::{
    Commands, Done, FailureKind, Hello, PROTOCOL_MAJOR, PROTOCOL_MINOR, Path, Request, Shutdown,
    Transfer, check_version, reply, request,
};
use pinfold_sys::process::{SignalNumber, kill_everybody};

use super::{Agent, Ending};
use crate::command::Ground;
use crate::failure::{Outcome, Refusal};
use crate::files::FileJob;
use crate::identity::identity;
use crate::timers::Due;
use crate::transfer::TransferJob;
use crate::worker::{Job, failure};
use crate::{usage, workdir};

/// A grace longer than this is an error of somebody.
const GRACE_MAX: Duration = Duration::from_secs(3600);

/// What to send back; `None` when somebody else answers later.
type Answer = Option<(reply::Body, Vec<OwnedFd>)>;

impl Agent {
    pub(super) fn request(&mut self, link: u32, request: Request, fds: Vec<OwnedFd>) {
        let id = request.id;
        let configures = matches!(request.body, Some(request::Body::Configure(_)));
        let answer = match request.body {
            Some(request::Body::Hello(hello)) => {
                let answer = self.hello(link, &hello);
                self.links.send(&self.poller, link, id, answer, Vec::new());
                return;
            }
            _ if !self.links.is_greeted(link) => {
                self.close_link(link);
                return;
            }
            Some(body) => self.perform(link, id, body, fds),
            None => Err(Refusal::new(
                FailureKind::Unsupported,
                "this guest knows no such request",
            )),
        };
        match answer {
            Ok(None) => {}
            Ok(Some((body, fds))) => self.links.send(&self.poller, link, id, body, fds),
            Err(refusal) => self
                .links
                .send(&self.poller, link, id, failure(refusal), Vec::new()),
        }
        if configures {
            // While the host records that there is a sandbox. That there is no such user is told to
            // whoever needs one.
            let _ = self.users.find(&self.config.user);
        }
    }

    /// Answered also to a host of another version, which sees by it whom it talks to.
    fn hello(&mut self, link: u32, theirs: &Hello) -> reply::Body {
        if check_version(theirs).is_ok() && !self.links.is_greeted(link) {
            let older = self.links.current();
            self.links.greet(&self.poller, link);
            if let Some(older) = older {
                self.workers.orphaned(older, &mut self.timers);
            }
            self.commands.tell_again();
        }
        reply::Body::Hello(Hello {
            major: PROTOCOL_MAJOR,
            minor: PROTOCOL_MINOR,
            release: env!("CARGO_PKG_VERSION").to_owned(),
            boot: self.boot_id,
        })
    }

    fn perform(
        &mut self,
        link: u32,
        id: u64,
        body: request::Body,
        fds: Vec<OwnedFd>,
    ) -> Outcome<Answer> {
        use request::Body;
        match body {
            // Handled before the greeting was checked.
            Body::Hello(_) => Ok(None),
            Body::Configure(config) => {
                workdir::make(&config.workdir, &config.user, &mut self.users);
                self.config = config;
                done()
            }
            Body::Start(start) => {
                let mut ground = Ground {
                    sharing: self.sharing,
                    powers: &self.powers,
                    config: &self.config,
                    users: &mut self.users,
                };
                let (poller, timers) = (&self.poller, &mut self.timers);
                let started = self
                    .commands
                    .start(&mut ground, start, fds, poller, timers)?;
                plain(reply::Body::Started(started))
            }
            Body::Kill(kill) => {
                self.commands.kill(&kill, &mut self.timers)?;
                done()
            }
            Body::CloseStdin(command) => {
                self.commands
                    .close_stdin(&command.command, &self.poller, &mut self.timers)?;
                done()
            }
            Body::Resize(resize) => {
                self.commands.resize(&resize)?;
                done()
            }
            Body::ListCommands(_) => plain(reply::Body::Commands(Commands {
                commands: self.commands.list(),
            })),
            Body::Adopt(command) => {
                let (adopted, fds) = self.commands.adopt(&command.command)?;
                Ok(Some((reply::Body::Adopted(adopted), fds)))
            }
            Body::Forget(command) => {
                self.commands.forget(&command.command)?;
                done()
            }
            Body::Dial(dial) => {
                let asker = (link, id);
                let dialed = self
                    .dials
                    .begin(dial, asker, &self.poller, &mut self.timers);
                self.answer_dial(dialed);
                Ok(None)
            }
            Body::Usage(_) => plain(reply::Body::Usage(usage::measure(self.booted)?)),
            Body::Shutdown(shutdown) => self.shutdown(shutdown),
            Body::CancelTransfer(cancel) => {
                found(self.workers.cancel(link, cancel.transfer, &mut self.timers))
            }
            Body::CommitTransfer(commit) => {
                found(self.workers.commit(link, commit.transfer, commit.bytes))
            }
            Body::Transfer(transfer) => self.transfer(link, id, transfer, fds),
            file => {
                let (user, job) = FileJob::from_request(file)?;
                self.work(link, id, &user, Job::File(job))
            }
        }
    }

    fn transfer(
        &mut self,
        link: u32,
        id: u64,
        transfer: Transfer,
        fds: Vec<OwnedFd>,
    ) -> Outcome<Answer> {
        let [data] = <[_; 1]>::try_from(fds)
            .map_err(|_| Refusal::invalid("a transfer comes with one descriptor"))?;
        let user = transfer
            .at
            .as_ref()
            .map_or_else(String::new, |at: &Path| at.user.clone());
        let job = TransferJob::from_request(transfer)?;
        self.work(link, id, &user, Job::Transfer(job, data))
    }

    fn work(&mut self, link: u32, id: u64, user: &str, job: Job) -> Outcome<Answer> {
        let identity = identity(&self.users.find(user)?, &self.powers)?;
        if let Some(socket) = self.links.socket(link) {
            let link = (link, socket.as_fd());
            self.workers
                .start(self.single, &identity, link, id, job, &mut self.timers)?;
        }
        Ok(None)
    }

    fn shutdown(&mut self, shutdown: Shutdown) -> Outcome<Answer> {
        // Nobody to end is fine.
        let _ = kill_everybody(SignalNumber::TERM);
        // What is stopped does not hear TERM.
        let _ = kill_everybody(SignalNumber::CONT);
        let grace = Duration::from_millis(shutdown.grace_ms.into()).min(GRACE_MAX);
        self.timers.add(grace, Due::ShutdownKill);
        self.ending = Ending::WhenEmpty;
        // There may be no child whose end would wake us.
        self.more_to_reap = true;
        done()
    }
}

fn done() -> Outcome<Answer> {
    plain(reply::Body::Done(Done {}))
}

fn plain(body: reply::Body) -> Outcome<Answer> {
    Ok(Some((body, Vec::new())))
}

fn found(found: bool) -> Outcome<Answer> {
    if found {
        done()
    } else {
        Err(Refusal::new(FailureKind::NotFound, "no such transfer"))
    }
}
