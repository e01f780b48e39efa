//! Images, and directories of this machine.

use std::ops::ControlFlow;
use std::sync::Arc;

use pinfold_engine::{
    CreateSandbox, EngineConfig, ImageImport, ImageOrTemplate, PageRequest, ReadRange, Share,
    SystemClock,
};
use pinfold_model::sandbox::{HostMount, MountAccess};
use pinfold_model::{Code, ImageSource, Result};

use super::place::{Life, Place, small};

pub(crate) fn tar_of_a_root(place: &Place) -> std::path::PathBuf {
    let path = place.path().join("root.tar");
    let mut tar = tar::Builder::new(std::fs::File::create(&path).expect("file"));
    let mut header = tar::Header::new_gnu();
    for (name, bytes) in [("etc/hello", &b"from the image"[..]), ("etc/passwd", b"")] {
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, bytes).expect("entry");
    }
    tar.finish().expect("tar");
    path
}

pub(crate) async fn import(
    life: &Life,
    name: &str,
    path: &std::path::Path,
) -> Result<pinfold_model::Image> {
    let import = ImageImport {
        name: name.parse()?,
        path: path.to_owned(),
        select: None,
        share: Share::Project,
    };
    let on_progress = Box::new(|_| ControlFlow::Continue(()));
    life.engine
        .import_image(&life.ctx, import, on_progress)
        .await
}

#[test]
fn an_imported_image_boots_and_cannot_be_removed_while_in_use() {
    let place = Place::new();
    let life = place.live();
    life.run(async {
        let (engine, ctx) = (&life.engine, &life.ctx);
        let image = import(&life, "mine:1", &tar_of_a_root(&place))
            .await
            .expect("import");
        assert_eq!((image.layers.len(), &image.source), (1, &ImageSource::Tar));
        let request = CreateSandbox {
            from: ImageOrTemplate::Image("mine:1".into()),
            ..small()
        };
        let sandbox = life.create(request).await;
        assert_eq!(
            (&sandbox.spec.image, sandbox.spec.workdir.as_str()),
            (&image.id, "/")
        );
        let hello = engine
            .read_file(ctx, &sandbox.id, "/etc/hello", ReadRange::default())
            .await;
        let chunk = hello.expect("begin").next().await.expect("chunk");
        assert_eq!(chunk.as_deref(), Some(&b"from the image"[..]));
        let used = engine
            .remove_image(ctx, "mine:1")
            .await
            .expect_err("in use");
        assert_eq!(used.code(), Code::InUse);
        engine
            .destroy_sandbox(ctx, &sandbox.id)
            .await
            .expect("destroy");
        engine
            .remove_image(ctx, image.id.as_str())
            .await
            .expect("remove");
        let gone = engine.get_image(ctx, "mine:1").await.expect_err("gone");
        assert_eq!(gone.code(), Code::ImageNotFound);
    });
    life.clean_up(&place);
}

#[test]
fn malformed_imports_and_the_built_in_image_are_refused() {
    let place = Place::new();
    let life = place.live();
    life.run(async {
        let garbage = place.path().join("garbage.tar");
        std::fs::write(&garbage, vec![0x5a; 4096]).expect("write");
        let refused = import(&life, "bad", &garbage).await.expect_err("no tar");
        assert_eq!(refused.code(), Code::InvalidImage);
        let taken = import(&life, "host", &tar_of_a_root(&place))
            .await
            .expect_err("taken");
        assert_eq!(taken.code(), Code::AlreadyExists);
        let built_in = life
            .engine
            .remove_image(&life.ctx, "host")
            .await
            .expect_err("built in");
        assert_eq!(built_in.code(), Code::InUse);
        let list = life
            .engine
            .list_images(&life.ctx, &PageRequest::default())
            .await;
        let sources: Vec<_> = list
            .expect("list")
            .items
            .iter()
            .map(|i| i.source.clone())
            .collect();
        assert_eq!(sources, [ImageSource::Host]);
    });
    life.clean_up(&place);
}

#[test]
fn embedded_use_mounts_directories_of_this_machine() {
    let place = Place::new();
    let life = place.live_with(EngineConfig::embedded(), Arc::new(SystemClock));
    life.run(async {
        let project = place.path().join("project");
        std::fs::create_dir(&project).expect("directory");
        std::fs::write(project.join("in"), "seen\n").expect("write");
        let mount = |target: &str, access| HostMount {
            source: project.to_str().expect("text").into(),
            target: target.into(),
            access,
        };
        let request = CreateSandbox {
            mounts: vec![
                mount("/mnt/open", MountAccess::ReadWrite),
                mount("/mnt/shut", MountAccess::ReadOnly),
            ],
            ..small()
        };
        let sandbox = life.create(request).await.id;
        let line = "cat /mnt/open/in; echo out > /mnt/open/out; echo x > /mnt/shut/out";
        let run = life.sh(&sandbox, line).await;
        assert_eq!(run.stdout, b"seen\n", "{run:?}");
        assert!(
            !run.command.state.exit_status().expect("ended").success(),
            "it is read-only"
        );
        assert_eq!(
            std::fs::read_to_string(project.join("out")).expect("read"),
            "out\n"
        );
    });
    life.clean_up(&place);
}
