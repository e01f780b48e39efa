//! A session channel: what the client asks for, until it starts something.

use pinfold_model::Program;
use russh::server::{Handle, Msg};
use russh::{Channel, ChannelMsg};

use super::program::{self, Wanted};
use super::{Place, Setup};
use crate::sftp;

/// The user's own shell, as at a login. The guest sets SHELL from the image's passwd.
const LOGIN_SHELL: &str = "exec \"${SHELL:-/bin/sh}\" -l";
const SFTP: &str = "sftp";

pub(crate) fn is_subsystem(name: &str) -> bool {
    name == SFTP
}

pub(crate) async fn run(place: Place, mut channel: Channel<Msg>, handle: Handle) {
    let mut setup = Setup::default();
    while let Some(message) = channel.wait().await {
        match message {
            ChannelMsg::RequestPty {
                term,
                col_width,
                row_height,
                ..
            } => {
                setup.terminal(&term, col_width, row_height);
            }
            ChannelMsg::SetEnv {
                variable_name,
                variable_value,
                ..
            } => {
                setup.variable(&variable_name, &variable_value);
            }
            ChannelMsg::Exec { command, .. } if setup.start() => {
                let wanted = match String::from_utf8(command) {
                    Ok(line) if !line.trim().is_empty() => Wanted::Program(Program::Shell(line)),
                    Ok(_) => Wanted::Program(Program::Shell(":".to_owned())),
                    Err(_) => Wanted::Unreadable,
                };
                return program::run(place, channel, handle, wanted, setup).await;
            }
            ChannelMsg::RequestShell { .. } if setup.start() => {
                let shell = Wanted::Program(Program::Shell(LOGIN_SHELL.to_owned()));
                return program::run(place, channel, handle, shell, setup).await;
            }
            ChannelMsg::RequestSubsystem { name, .. } if is_subsystem(&name) && setup.start() => {
                return sftp::run(place, channel).await;
            }
            ChannelMsg::Close => return,
            _ => {}
        }
    }
}
