//! What a Dockerfile says is what its image holds.

use std::collections::BTreeMap;

use pinfold_engine::{CreateBuild, CreateSandbox, ImageOrTemplate, PageRequest};

use super::super::images::{import, tar_of_a_root};
use super::super::place::{Life, Place, small};
use super::{build_of, built, context, says};

#[test]
fn a_build_does_what_its_dockerfile_says() {
    let place = Place::with_kept_disks();
    let life = place.live();
    life.run(async {
        let context = context(&life, &[("a.txt", "one"), ("d/b.txt", "two"), (".dockerignore", "*.log"), ("x.log", "no")]).await;
        let dockerfile = "ARG WHO=world\nFROM host AS base\nARG WHO\nENV GREETING=\"hello $WHO\"\nWORKDIR /srv/app\n\
            RUN echo \"$GREETING\" > said && id -u >> said && pwd >> said\n\
            RUN [\"/bin/sh\", \"-c\", \"echo exec >> said\"]\n\
            RUN <<EOF\necho script >> said\ncat <<INNER >> said\n$GREETING again\nINNER\nEOF\n\
            COPY a.txt d /data/\nCOPY --chown=7:8 --chmod=604 *.txt owned\nCOPY <<F here/\nof $WHO\nF\n\
            USER nobody\nRUN id -un > /tmp/user\n\
            FROM base\nCOPY --from=base /srv/app/said /tmp/user /copied/\nLABEL v=1\nEXPOSE 80\nCMD [\"x\"]\n";
        let request = CreateBuild {
            context: Some(context.id.clone()),
            args: BTreeMap::from([("WHO".into(), "you".into()), ("NOBODYS".into(), "1".into())]),
            files: BTreeMap::from([("/etc/given/file".into(), "given\n".into())]),
            setup: vec!["cat /etc/given/file > /tmp/set-up; id -un >> /tmp/set-up".into()],
            setup_user: Some("root".into()),
            labels: BTreeMap::from([("by".into(), "test".into())]),
            ..build_of(dockerfile)
        };
        let build = built(&life, request.clone()).await;
        assert_eq!(build.warnings, ["no ARG takes the argument NOBODYS"]);
        let said = "hello you\n0\n/srv/app\nexec\nscript\nhello you again\n";
        let shown = says(&life, "made:1", "cat /copied/said /copied/user /tmp/set-up; cat owned here/F; \
            stat -c '%u %g %a' owned /data/a.txt; ls -A /data; pwd; id -un; echo $GREETING").await;
        let expected = format!("{said}nobody\ngiven\nroot\noneof you\n7 8 604\n0 0 640\na.txt\nb.txt\n/srv/app\nnobody\nhello you\n");
        assert_eq!(shown, expected);
        let image = life.engine.get_image(&life.ctx, "made:1").await.expect("there");
        assert_eq!(Some(&image.id), build.image.as_ref());
        let config = &image.config;
        assert_eq!((&*config.labels["v"], &*config.labels["by"]), ("1", "test"));
        assert_eq!((config.cmd.as_slice(), config.exposed_ports.as_slice()), (&["x".to_owned()][..], &["80/tcp".to_owned()][..]));

        // The same again is taken from the cache: no sandbox is made, and the name moves on.
        let before = sandboxes_made(&life).await;
        let again = built(&life, request).await;
        assert_eq!(sandboxes_made(&life).await, before);
        assert!(again.steps.iter().filter(|step| !step.text.starts_with("FROM")).all(|step| step.cached));
        assert_ne!(again.image, build.image);
        assert_eq!(says(&life, "made:1", "cat /copied/user").await, "nobody\n");
        let listed = life.engine.list_images(&life.ctx, &PageRequest::default()).await.expect("list");
        assert_eq!(listed.items.len(), 3, "host and the two: {listed:?}");
    });
    life.clean_up(&place);
}

async fn sandboxes_made(life: &Life) -> usize {
    let page = PageRequest::new(500, None);
    let all = life
        .engine
        .list_sandboxes(&life.ctx, &Default::default(), &page)
        .await;
    all.expect("list").items.len()
}

#[test]
fn scratch_and_imported_roots_are_built_on() {
    let place = Place::with_kept_disks();
    let life = place.live();
    life.run(async {
        import(&life, "mine:1", &tar_of_a_root(&place)).await.expect("imported");
        let dockerfile = "FROM host AS tools\nRUN mkdir -p /out/bin && printf '\\001' > /out/bin/tool && ln -s tool /out/bin/link\n\
            FROM mine:1 AS unused\nRUN exit 1\n\
            FROM scratch\nCOPY --from=tools /out/bin/ /bin/\nCOPY --from=mine:1 etc /mine\nCOPY <<X /etc/conf\nmade\nX\n";
        let build = built(&life, build_of(dockerfile)).await;
        assert!(build.steps.iter().all(|step| step.stage != "unused"), "{:?}", build.steps);
        let request = CreateSandbox { from: ImageOrTemplate::Image("made:1".into()), ..small() };
        let sandbox = life.create(request).await.id;
        let list = async |path: &str| {
            let listing = life.engine.list_directory(&life.ctx, &sandbox, path, 100).await.expect(path);
            listing.entries.into_iter().map(|entry| entry.name).collect::<Vec<_>>()
        };
        assert_eq!(list("/bin").await, ["link", "tool"]);
        let (_, content) = life.engine.read_whole_file(&life.ctx, &sandbox, "/etc/conf", 100).await.expect("read");
        assert_eq!(content, b"made\n");
        let target = CreateBuild { target: Some("tools".into()), ..build_of(dockerfile) };
        assert!(built(&life, target).await.steps[1].cached);
    });
    life.clean_up(&place);
}
