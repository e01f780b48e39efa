//! Homes of accounts, and files of a build that are below one.

use std::collections::BTreeMap;

use pinfold_engine::{CreateBuild, CreateSandbox, ImageOrTemplate};
use pinfold_model::build::BuildHome;
use pinfold_model::sandbox::SandboxExtras;
use pinfold_model::setup::Account;
use pinfold_model::{SandboxState, Setup};

use super::super::place::{Life, Place, small};
use super::super::setup::{set_up, text};
use super::{build_of, built, says};

const SEEN: &str = "stat -c '%n %u %a' /home/dev /home/dev/* /srv/dev 2>/dev/null";

/// What `SEEN` says in a sandbox with the account.
async fn seen(life: &Life) -> String {
    let mut request = CreateSandbox {
        from: ImageOrTemplate::Image("made:1".to_owned()),
        user: Some("1234:1234".to_owned()),
        ..small()
    };
    request.more = SandboxExtras {
        setup: Setup {
            account: Some(Account {
                name: "dev".to_owned(),
                uid: 1234,
                home: "/home/dev".to_owned(),
            }),
            ..Setup::default()
        },
        ..SandboxExtras::default()
    };
    let id = life.create(request).await.id;
    let done = set_up(life, &id).await;
    assert_eq!(done.state, SandboxState::Running, "{:?}", done.failure);
    text(life, &id, SEEN).await
}

#[test]
fn a_home_that_is_roots_becomes_the_accounts_and_nothing_else_does() {
    let place = Place::with_kept_disks();
    let life = place.live();
    life.run(async {
        for (line, expected) in [
            (
                "mkdir -m 0711 /home/dev; touch /home/dev/a",
                "/home/dev 1234 711\n/home/dev/a 0 644\n",
            ),
            ("mkdir /home/dev; chown 77 /home/dev", "/home/dev 77 755\n"),
            (
                "mkdir /srv/dev; ln -s /srv/dev /home/dev",
                "/home/dev 0 777\n/srv/dev 0 755\n",
            ),
            (
                "mkdir /home/other; ln -s other /home/dev; ln -s ../home/other /srv/dev",
                "/home/dev 0 777\n/srv/dev 0 777\n",
            ),
            ("touch /home/dev", "/home/dev 0 644\n"),
        ] {
            let dockerfile = format!("FROM host\nRUN umask 022; mkdir -p /home /srv; {line}\n");
            built(&life, build_of(&dockerfile)).await;
            assert_eq!(seen(&life).await, expected, "{line}");
        }
    });
    life.clean_up(&place);
}

#[test]
fn files_below_a_home_are_its_users_and_so_is_what_was_missing_above_them() {
    let place = Place::with_kept_disks();
    let life = place.live();
    life.run(async {
        let paths = [
            "/home/dev/a",
            "/home/dev/b/c/d",
            "/home/dev/r/e",
            "/etc/f",
            "/home/dev2/g",
        ];
        let files: BTreeMap<_, _> = paths.map(|path| (path.to_owned(), path.to_owned())).into();
        let dockerfile = "FROM host\nRUN mkdir -p /home/dev/r && chown 1234:1234 /home/dev\n";
        let request = CreateBuild {
            files,
            home: Some(BuildHome {
                path: "/home/dev".to_owned(),
                user: "1234:1234".to_owned(),
            }),
            setup: vec!["echo more >> /home/dev/b/c/d".to_owned()],
            setup_user: Some("1234:1234".to_owned()),
            ..build_of(dockerfile)
        };
        let build = built(&life, request).await;
        assert_eq!(build.steps.len(), 4);
        let seen =
            "cd /home/dev; stat -c '%n %u' a b b/c b/c/d r r/e /etc/f /home/dev2/g; cat b/c/d";
        assert_eq!(
            says(&life, "made:1", seen).await,
            "a 1234\nb 1234\nb/c 1234\nb/c/d 1234\nr 0\nr/e 1234\n/etc/f 0\n/home/dev2/g 0\n\
             /home/dev/b/c/dmore\n"
        );
    });
    life.clean_up(&place);
}
