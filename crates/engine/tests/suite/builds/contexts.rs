//! Contexts that mean harm.

use pinfold_engine::CreateBuild;
use pinfold_model::build::BuildFault;

use super::super::objects::put;
use super::super::place::Place;
use super::{build_of, built, failed, says};

#[test]
fn hostile_contexts_reach_nothing() {
    let place = Place::with_kept_disks();
    let life = place.live();
    life.run(async {
        let evil = |name: &str, link: Option<&str>, kind: tar::EntryType| {
            let mut tar = tar::Builder::new(Vec::new());
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(kind);
            header.set_mode(0o644);
            header.set_size(0);
            header.as_gnu_mut().expect("gnu").name[..name.len()].copy_from_slice(name.as_bytes());
            if let Some(link) = link {
                header.as_gnu_mut().expect("gnu").linkname[..link.len()].copy_from_slice(link.as_bytes());
            }
            header.set_cksum();
            tar.append(&header, &[][..]).expect("entry");
            tar.into_inner().expect("tar")
        };
        let refused = [
            evil("../up", None, tar::EntryType::Regular),
            evil("/etc/passwd", None, tar::EntryType::Regular),
            evil("dev", None, tar::EntryType::Block),
            evil("holes", None, tar::EntryType::GNUSparse),
            evil("hard", Some("/etc/shadow"), tar::EntryType::Link),
            b"this is no tar but as long as the header of one would have to be".repeat(10),
        ];
        for tar in refused {
            let context = put(&life, "evil", &tar).await;
            let request = CreateBuild { context: Some(context.id), ..build_of("FROM host\nCOPY . /x\n") };
            let build = failed(&life, request).await;
            assert_eq!(build.failure.map(|failure| failure.fault), Some(BuildFault::Context));
        }
        // A link out of the context is a link within the sandbox, and what it names is not read.
        let tar = evil("link", Some("../../../etc/shadow"), tar::EntryType::Symlink);
        let context = put(&life, "link", &tar).await;
        let with = |dockerfile: &str| CreateBuild { context: Some(context.id.clone()), ..build_of(dockerfile) };
        let build = failed(&life, with("FROM host\nCOPY link /x\n")).await;
        assert_eq!(build.failure.map(|failure| failure.fault), Some(BuildFault::Context));
        built(&life, with("FROM host\nCOPY . /x/\n")).await;
        assert_eq!(says(&life, "made:1", "readlink /x/link").await, "../../../etc/shadow\n");
        // A stage's own links lead within that stage.
        let outside = "FROM host AS a\nRUN ln -s ../../../../../../etc/shells /leak && echo inner > /etc/shells\n\
                       FROM host\nCOPY --from=a /leak /got\n";
        built(&life, build_of(outside)).await;
        assert_eq!(says(&life, "made:1", "cat /got").await, "inner\n");
    });
    life.clean_up(&place);
}
