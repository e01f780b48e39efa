//! A disk that refuses: full, and past the limit of file size.
//!
//! Both tests start this test program again, the one in a mount namespace with a small file
//! system of its own, the other with a resource limit.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use pinfold_model::CommandId;
use pinfold_model::journal::{RecordBody, Stream};

use super::super::{Journals, Pump};
use super::{OK, all, assert_no_gap, now, numbered, output, pipe, soon, write};

const CHILD: &str = "PINFOLD_TEST_JOURNAL_DISK";

fn again(test: &str, dir: &Path, shell: &str) {
    let name = format!("journal::tests::disk::{test}");
    let out = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c"])
        .arg(format!("{shell} && exec \"$0\" --exact {name} --nocapture"))
        .arg(std::env::current_exe().unwrap())
        .env(CHILD, dir)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&out.stdout) + String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success() && text.contains("1 passed"), "{text}");
}

#[test]
fn a_full_disk_cuts_the_journal_and_gets_its_marks_when_there_is_room_again() {
    let Some(dir) = std::env::var_os(CHILD).map(PathBuf::from) else {
        let dir = tempfile::tempdir().unwrap();
        let mount = format!("mount -t tmpfs -o size=1m none '{}'", dir.path().display());
        return again(
            "a_full_disk_cuts_the_journal_and_gets_its_marks_when_there_is_room_again",
            dir.path(),
            &mount,
        );
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let id = CommandId::generate();
        let journals = Journals::open(&dir.join("journals")).unwrap();
        fs::write(dir.join("ballast"), vec![1; 600 << 10]).unwrap();
        let (out, mut writing) = pipe();
        let pump = Pump::start(journals.create(&id, u64::MAX).unwrap(), out, None).unwrap();
        let reader = tokio::spawn(all(journals.reader(&id, 0).unwrap()));
        // The command is not held up, though most of this fits nowhere.
        let command = std::thread::spawn(move || write(&mut writing, &numbered(0, 4 << 20)));
        soon(pump.closed()).await;
        command.join().unwrap();
        let end = pump.finish(OK).unwrap();
        let status = pump.status();
        assert!(status.truncated && status.has_unwritten(), "{status:?}");

        // Readers see all of it, whether it could be written or not.
        let records = soon(reader).await.unwrap();
        assert_no_gap(&records, 1);
        assert_eq!(records[records.len() - 2].body, RecordBody::Truncated);
        assert_eq!(records.last().unwrap().seq, end);
        let kept = output(&records, Stream::Stdout);
        assert!(kept.len() > 100 << 10 && kept == numbered(0, kept.len()));
        assert_eq!(now(journals.reader(&id, 0).unwrap()), records);
        assert_eq!(
            journals.get(&id).unwrap().tail(2, None).unwrap().records,
            records[records.len() - 2..]
        );

        // Room again: the marks reach the file without anybody's asking.
        let mut before = journals.reader(&id, 0).unwrap();
        for _ in 0..records.len() - 1 {
            before.try_next().unwrap().unwrap();
        }
        fs::remove_file(dir.join("ballast")).unwrap();
        let mut watch = journals.get(&id).unwrap().watch();
        soon(watch.wait_for(|status| !status.has_unwritten()))
            .await
            .unwrap();
        assert_eq!(
            before.try_next().unwrap().unwrap(),
            *records.last().unwrap()
        );
        assert_eq!(before.try_next().unwrap(), None);
        let later = Journals::open(&dir.join("journals")).unwrap();
        assert_eq!(now(later.reader(&id, 0).unwrap()), records);
    });
}

#[test]
fn a_file_that_may_not_grow_is_cut_like_any_other_and_recovers() {
    let Some(dir) = std::env::var_os(CHILD).map(PathBuf::from) else {
        let dir = tempfile::tempdir().unwrap();
        // 200 blocks of 512 bytes; the signal that goes with it is ignored, also across exec.
        let name = "a_file_that_may_not_grow_is_cut_like_any_other_and_recovers";
        again(name, dir.path(), "trap '' XFSZ && ulimit -f 200");
        // Without the limit the file is an ordinary one that was left by a crash.
        let journals = Journals::open(dir.path()).unwrap();
        let id = journals.list().unwrap().remove(0);
        let before = now(journals.reader(&id, 0).unwrap());
        let mut writer = journals.reopen(&id, u64::MAX).unwrap();
        writer.append(Stream::Stderr, b"goes on");
        writer.end(OK).unwrap();
        let records = now(journals.reader(&id, 0).unwrap());
        assert_no_gap(&records, 1);
        assert_eq!(records[..before.len()], before[..]);
        let kept = output(&records, Stream::Stdout);
        assert!(kept.len() > 100_000 && kept == numbered(0, kept.len()));
        return;
    };
    let id = CommandId::generate();
    let mut writer = Journals::open(&dir).unwrap().create(&id, u64::MAX).unwrap();
    writer.append(Stream::Stdout, &numbered(0, 60_000));
    writer.append(Stream::Stdout, &numbered(60_000, 300_000));
    let status = *writer.status();
    assert!(status.truncated && status.has_unwritten());
    assert_eq!(status.stream_bytes(Stream::Stdout), 200 * 512 - 32 - 32);
    writer.end(OK).unwrap();
    let records = now(writer.journal().reader(0));
    assert_no_gap(&records, 1);
    assert_eq!(records.len(), 4);
}
