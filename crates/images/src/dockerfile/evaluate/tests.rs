//! Stages, from their text to what they come to.

use std::sync::Arc;

use pinfold_model::ImageConfig;

use super::super::{
    Action, Base, CopyFrom, Dockerfile, DockerfileError, Operation, RunAction, RunProgram,
    Variables,
};
use super::{DEFAULT_PATH, Evaluation, Evaluator};

fn args(pairs: &[(&str, &str)]) -> Variables {
    pairs
        .iter()
        .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
        .collect()
}

fn evaluator(text: &str, given: &[(&str, &str)]) -> Evaluator {
    let file = Dockerfile::parse(text).expect(text);
    Evaluator::new(Arc::new(file), args(given)).expect(text)
}

/// The last stage, with all that it needs before it.
fn tried(text: &str, given: &[(&str, &str)]) -> Result<Evaluation, DockerfileError> {
    let file = Arc::new(Dockerfile::parse(text)?);
    let last = file.stages.len() - 1;
    let mut evaluator = Evaluator::new(file, args(given))?;
    for stage in 0..last {
        evaluator.stage(stage, &ImageConfig::default())?;
    }
    evaluator.stage(last, &ImageConfig::default())
}

fn evaluated(text: &str, given: &[(&str, &str)]) -> Evaluation {
    tried(text, given).expect(text)
}

fn runs(evaluation: &Evaluation) -> Vec<&RunAction> {
    let run = |operation: &'_ Operation| match &operation.action {
        Action::Run(_) => true,
        Action::Copy(_) | Action::Workdir(_) => false,
    };
    let found = evaluation.operations.iter().filter(|o| run(o));
    found
        .map(|operation| match &operation.action {
            Action::Run(action) => action,
            other => panic!("{other:?}"),
        })
        .collect()
}

/// In bases that say nothing of it, in stages upon those, and in `scratch`.
#[test]
fn there_is_always_a_path() {
    for from in ["x", "scratch"] {
        let text =
            format!("FROM {from} AS a\nENV PATH=/a:$PATH\nFROM a\nENV PATH=$PATH:/b\nRUN c\n");
        let file = Arc::new(Dockerfile::parse(&text).expect("legal"));
        let mut evaluator = Evaluator::new(file, args(&[])).expect("legal");
        let first = evaluator.stage(0, &ImageConfig::default()).expect("legal");
        let last = evaluator.stage(1, &first.config).expect("legal");
        let path = format!("/a:{DEFAULT_PATH}:/b");
        assert_eq!(runs(&last)[0].env["PATH"], path);
        assert_eq!(last.config.env["PATH"], path);
    }
}

#[test]
fn arguments_have_the_scopes_of_dockerfiles() {
    let text =
        "ARG G=1\nARG H=$G-h\nFROM x:$G\nRUN a\nARG G\nARG L=l$G\nENV E=$L$H$G\nARG E=arg\nRUN b\n";
    let done = evaluated(text, &[]);
    let ran = runs(&done);
    assert_eq!(ran[0].env, args(&[("PATH", DEFAULT_PATH)]));
    assert_eq!(ran[1].env["E"], "l11", "H is not declared in the stage");
    assert_eq!(ran[1].env["L"], "l1");
    assert_eq!(
        done.config.env,
        args(&[("E", "l11"), ("PATH", DEFAULT_PATH)]),
        "ARG is no part of the image"
    );
    let given = evaluated(text, &[("G", "9"), ("L", "x"), ("HTTP_PROXY", "p")]);
    let run = runs(&given)[1];
    assert_eq!((&*run.env["E"], &*run.proxies["HTTP_PROXY"]), ("x9", "p"));
    assert!(!run.env.contains_key("HTTP_PROXY"));
    let file = Dockerfile::parse(text).expect(text);
    assert_eq!(
        file.unused(&args(&[("Z", ""), ("G", ""), ("no_proxy", "")])),
        ["Z"]
    );
}

#[test]
fn the_configuration_follows_its_instructions() {
    let text = "FROM x\nENTRYPOINT a b\nCMD [\"c\"]\nSHELL [\"/bin/bash\",\"-c\"]\nRUN d\nUSER u:g\n\
                WORKDIR /a\nWORKDIR b/../c\nEXPOSE 80 53/udp 80\nLABEL k=\"v w\"\n";
    let done = evaluated(text, &[]);
    let config = &done.config;
    assert_eq!(config.entrypoint, ["/bin/sh", "-c", "a b"]);
    assert_eq!(config.cmd, ["c"]);
    assert_eq!(config.workdir.as_deref(), Some("/a/c"));
    assert_eq!(config.user.as_deref(), Some("u:g"));
    assert_eq!(config.exposed_ports, ["80/tcp", "53/udp"]);
    assert_eq!(config.labels["k"], "v w");
    let bash = ["/bin/bash", "-c", "d"].map(str::to_owned).to_vec();
    assert_eq!(runs(&done)[0].program, RunProgram::Argv(bash));
}

#[test]
fn a_new_entrypoint_forgets_the_arguments_of_the_base() {
    let base = ImageConfig {
        cmd: vec!["old".into()],
        ..ImageConfig::default()
    };
    let done = evaluator("FROM x\nENTRYPOINT [\"a\"]\n", &[])
        .stage(0, &base)
        .expect("good");
    assert!(done.config.cmd.is_empty());
}

#[test]
fn paths_of_copies_stay_inside() {
    let text = "FROM x\nWORKDIR /w\nCOPY a/../b ./c/ d/\nCOPY x ../../../etc/y\n";
    let done = evaluated(text, &[]);
    let Action::Copy(first) = &done.operations[1].action else {
        panic!("{done:?}")
    };
    assert_eq!(
        (first.paths.as_slice(), &*first.destination),
        (&["b".into(), "c".into()][..], "/w/d")
    );
    let Action::Copy(second) = &done.operations[2].action else {
        panic!("{done:?}")
    };
    assert_eq!(
        (&*second.destination, second.into_directory),
        ("/etc/y", false)
    );
    for bad in [
        "COPY ../a /",
        "COPY a b c",
        "COPY --chmod=u+x a b",
        "COPY --from=7 a b",
        "EXPOSE 99999",
    ] {
        let error = tried(&format!("FROM x\n{bad}\n"), &[]);
        assert_eq!(error.expect_err(bad).line, Some(2));
    }
}

#[test]
fn only_what_the_target_needs_is_needed() {
    let text = "ARG B=one\nFROM x AS one\nFROM y AS two\nFROM z AS three\nCOPY --from=two a b\n\
                FROM $B AS four\nCOPY --from=2 a b\nFROM scratch AS five\n";
    let needed = |target, given| evaluator(text, given).needed(target);
    assert_eq!(needed(None, &[]), Ok(vec![4]));
    assert_eq!(needed(Some("FOUR"), &[]), Ok(vec![0, 1, 2, 3]));
    assert_eq!(needed(Some("two"), &[]), Ok(vec![1]));
    assert!(needed(Some("six"), &[]).is_err());
    assert_eq!(needed(Some("four"), &[("B", "w")]), Ok(vec![1, 2, 3]));
}

#[test]
fn here_documents_are_files_of_their_name() {
    let done = evaluated(
        "FROM x\nENV A=1\nCOPY <<E.txt <<'F' /d/\n$A\nE.txt\n$A\nF\n",
        &[],
    );
    let Action::Copy(copy) = &done.operations[0].action else {
        panic!("{done:?}")
    };
    let file = |name: &str, text: &str| (name.to_owned(), text.to_owned());
    assert_eq!(copy.files, [file("E.txt", "1\n"), file("F", "$A\n")]);
}

#[test]
fn of_stages_with_one_name_the_last_is_meant() {
    let text = "FROM x AS a\nFROM y AS A\nFROM a\nCOPY --from=a b c\n";
    let mut evaluator = evaluator(text, &[]);
    assert_eq!(evaluator.base(2), Ok(Base::Stage(1)));
    assert_eq!(evaluator.needed(None), Ok(vec![1, 2]));
    let done = evaluator.stage(2, &ImageConfig::default()).expect("good");
    let Action::Copy(copy) = &done.operations[0].action else {
        panic!("{done:?}")
    };
    assert_eq!(copy.from, CopyFrom::Stage(1));
}

#[test]
fn a_shell_lasts_into_the_stages_that_are_built_on_its_own() {
    let text = "FROM x AS a\nSHELL [\"/bin/bash\", \"-c\"]\nFROM a AS b\nFROM b\nRUN c\n";
    let bash = ["/bin/bash", "-c", "c"].map(str::to_owned).to_vec();
    assert_eq!(
        runs(&evaluated(text, &[]))[0].program,
        RunProgram::Argv(bash)
    );
    let other = text.replace("FROM b\n", "FROM y\n");
    let sh = ["/bin/sh", "-c", "c"].map(str::to_owned).to_vec();
    assert_eq!(
        runs(&evaluated(&other, &[]))[0].program,
        RunProgram::Argv(sh)
    );
}

fn too_much(text: &str, word: &str) {
    let error = tried(text, &[]).expect_err("too much");
    assert!(error.problem.contains(word), "{error}");
}

#[test]
fn what_a_small_file_comes_to_is_bounded() {
    let long = "x".repeat(600_000);
    let many = |line: &str, times| line.repeat(times);
    // Each of these comes to gigabytes.
    let env = format!("FROM x\nENV A={long}\n{}", many("RUN a\n", 1900));
    too_much(&env, "comes to more");
    let globals = format!("ARG A={long}\nARG{}\nFROM x\n", many(" B=$A", 50_000));
    too_much(&globals, "comes to more");
    let stages = format!("FROM x AS a\nLABEL a={long}\n{}", many("FROM a\n", 1900));
    let mut evaluator = evaluator(&stages, &[]);
    let first = evaluator.stage(0, &ImageConfig::default()).expect("one");
    let mut later = (1..1900).map(|stage| evaluator.stage(stage, &first.config));
    assert!(later.any(|done| done.is_err()));
    let shell = format!("FROM x\nSHELL [\"{long}\"]\n{}", many("RUN a\n", 1900));
    too_much(&shell, "comes to more");
    let workdir = format!("FROM x\nWORKDIR {long}\n{}", many("COPY a b/\n", 1900));
    too_much(&workdir, "comes to more");
}

#[test]
fn variables_labels_ports_and_sources_are_counted() {
    let many = |one: fn(usize) -> String, count| (0..count).map(one).collect::<String>();
    let names = many(|n| format!(" A{n}=1"), 1025);
    too_much(&format!("FROM x\nENV{names}\n"), "1024");
    too_much(&format!("FROM x\nLABEL{names}\n"), "1024");
    too_much(&format!("FROM x\nARG{names}\n"), "1024");
    let ports = many(|n| format!(" {}", n + 1), 1025);
    too_much(&format!("FROM x\nEXPOSE{ports}\n"), "1024");
    let sources = many(|n| format!(" {n}"), 257);
    too_much(&format!("FROM x\nCOPY{sources} d/\n"), "256");
}
