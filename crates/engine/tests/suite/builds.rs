//! Builds of images over real sandboxes. The image `host` has a shell and what it needs.

mod cache;
mod contexts;
mod dockerfiles;
mod endings;
mod homes;
mod steps;

use std::time::Duration;

use pinfold_engine::{BuildEvent, CreateBuild, CreateSandbox, ImageOrTemplate};
use pinfold_model::build::BuildState;
use pinfold_model::{Build, BuildId, NetworkMode, Object, Result};

use super::objects::put;
use super::place::{Life, small};

pub(super) fn build_of(dockerfile: &str) -> CreateBuild {
    CreateBuild {
        network: Some(NetworkMode::None),
        memory_mib: Some(256),
        disk_mib: Some(64),
        ..CreateBuild::new("made:1".parse().expect("a name"), dockerfile)
    }
}

async fn create(life: &Life, request: CreateBuild) -> Result<Build> {
    let created = life.engine.create_build(&life.ctx, request, None).await;
    created.map(|accepted| accepted.value)
}

pub(super) async fn ended(life: &Life, id: &BuildId) -> Build {
    loop {
        let build = life
            .engine
            .wait_build(&life.ctx, id, Duration::from_secs(5))
            .await
            .expect("there");
        if build.state.is_terminal() {
            return build;
        }
    }
}

async fn built(life: &Life, request: CreateBuild) -> Build {
    let build = create(life, request).await.expect("accepted");
    let build = ended(life, &build.id).await;
    assert_eq!(
        build.state,
        BuildState::Complete,
        "{:?}\n{}",
        build.failure,
        log(life, &build.id).await
    );
    build
}

async fn failed(life: &Life, request: CreateBuild) -> Build {
    let build = create(life, request).await.expect("accepted");
    let build = ended(life, &build.id).await;
    assert_eq!(build.state, BuildState::Failed, "{build:?}");
    build
}

/// Everything that the steps wrote.
pub(super) async fn log(life: &Life, id: &BuildId) -> String {
    let mut reader = life
        .engine
        .follow_build(&life.ctx, id, 0)
        .await
        .expect("log");
    let mut text = String::new();
    while let Some((_, event)) = reader.next().await.expect("event") {
        if let BuildEvent::Output { bytes, .. } = event {
            text.push_str(&String::from_utf8_lossy(&bytes));
        }
    }
    text
}

/// What a line prints in a sandbox of the image.
async fn says(life: &Life, image: &str, line: &str) -> String {
    let request = CreateSandbox {
        from: ImageOrTemplate::Image(image.to_owned()),
        ..small()
    };
    let sandbox = life.create(request).await;
    let output = life.sh(&sandbox.id, line).await;
    life.engine
        .destroy_sandbox(&life.ctx, &sandbox.id)
        .await
        .expect("gone");
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

fn context_tar(files: &[(&str, &str)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o640);
        header.set_uid(4321);
        header.set_size(text.len() as u64);
        tar.append_data(&mut header, name, text.as_bytes())
            .expect("entry");
    }
    tar.into_inner().expect("tar")
}

async fn context(life: &Life, files: &[(&str, &str)]) -> Object {
    put(life, "context", &context_tar(files)).await
}

/// Waits until a step has written something.
async fn begun(life: &Life, id: &BuildId) {
    let mut reader = life
        .engine
        .follow_build(&life.ctx, id, 0)
        .await
        .expect("log");
    while !matches!(
        reader.next().await,
        Ok(Some((_, BuildEvent::Output { .. })))
    ) {}
}
