//! Commands: recorded once, ended once.

use std::time::Duration;

use pinfold_model::command::CancelMode;
use pinfold_model::{Command, CommandId, CommandState, ExitStatus, Program, StdinMode, WindowSize};
use pinfold_store::{Inserted, Progress, StoreError, Thing, Unfinished};
use tokio::task::JoinSet;

use crate::world::{World, all, at, command};

use CommandState::{Cancelled, Exited, Killed, Lost, Queued, Running, Starting, TimedOut};

const ENDINGS: [CommandState; 7] = [
    Exited(ExitStatus::Code(0)),
    Exited(ExitStatus::Code(255)),
    Exited(ExitStatus::Signal(9)),
    Cancelled(ExitStatus::Signal(15)),
    TimedOut(ExitStatus::Signal(9)),
    Killed,
    Lost,
];

pub(crate) async fn a_command_comes_back_as_it_went_in(world: World) {
    let sandbox = world.stored_sandbox().await;
    let commands = world.store.commands();
    for state in [Queued, Starting, Running].into_iter().chain(ENDINGS) {
        let mut command = command(&sandbox);
        command.spec.program = Program::Shell("echo 'ü'".into());
        command.spec.stdin = StdinMode::Open;
        command.spec.tty = Some(WindowSize::default());
        command.spec.timeout = Some(Duration::from_micros(1_234_567));
        command.state = state;
        command.cancel = Some(CancelMode::Graceful);
        command.started_at = Some(at(21));
        command.ended_at = state.is_terminal().then(|| at(22));
        command.last_seq = Some(17);
        command.truncated = true;
        let inserted = commands.insert(&command, None).await.expect("insert");
        assert_eq!(inserted, Inserted::New(command.clone()));
        assert_eq!(commands.get(&command.id).await.expect("get"), Some(command));
    }
    assert_eq!(
        commands
            .list(&sandbox.id, &all())
            .await
            .expect("list")
            .items
            .len(),
        3 + ENDINGS.len()
    );
    assert_eq!(
        commands.get(&CommandId::generate()).await.expect("get"),
        None
    );
}

pub(crate) async fn the_same_command_id_is_inserted_once(world: World) {
    let sandbox = world.stored_sandbox().await;
    let first = command(&sandbox);
    let mut racing = JoinSet::new();
    for _ in 0..20 {
        let (store, command) = (world.store.clone(), first.clone());
        racing.spawn(async move {
            store
                .commands()
                .insert(&command, None)
                .await
                .expect("insert")
        });
    }
    let outcomes = racing.join_all().await;
    let new = outcomes
        .iter()
        .filter(|o| matches!(o, Inserted::New(_)))
        .count();
    assert_eq!((new, outcomes.len()), (1, 20));
    let mut other = first.clone();
    other.spec.cwd = Some("/elsewhere".into());
    let refused = world.store.commands().insert(&other, None).await;
    assert!(
        matches!(refused, Err(StoreError::CommandConflict { .. })),
        "{refused:?}"
    );
    let orphan = command(&world.sandbox());
    let refused = world.store.commands().insert(&orphan, None).await;
    assert!(
        matches!(
            refused,
            Err(StoreError::NotFound {
                thing: Thing::Sandbox,
                ..
            })
        ),
        "{refused:?}"
    );
}

pub(crate) async fn an_ending_is_written_once(world: World) {
    let sandbox = world.stored_sandbox().await;
    let commands = world.store.commands();
    for first in ENDINGS {
        let id = world.stored_command(&sandbox).await.id;
        commands
            .advance(&id, &Progress::running(at(30)))
            .await
            .expect("advance");
        let mut step = Progress::ended(first, at(31));
        step.last_seq = Some(5);
        let ended = commands
            .advance(&id, &step)
            .await
            .expect("advance")
            .expect("it ran");
        assert_eq!((ended.state, ended.last_seq), (first, Some(5)));
        assert_eq!(
            (ended.started_at, ended.ended_at),
            (Some(at(30)), Some(at(31)))
        );
        for later in ENDINGS.into_iter().chain([Queued, Starting, Running]) {
            let refused = commands.advance(&id, &Progress::ended(later, at(40))).await;
            assert_eq!(refused.expect("advance"), None, "{first:?} then {later:?}");
        }
        assert_eq!(
            commands
                .set_cancel(&id, CancelMode::Force)
                .await
                .expect("cancel"),
            None
        );
        assert_eq!(
            commands
                .end_unfinished(&sandbox.id, Unfinished::Lost, at(41))
                .await
                .expect("lose"),
            0
        );
        assert_eq!(commands.get(&id).await.expect("get"), Some(ended));
    }
}

pub(crate) async fn a_command_never_goes_back(world: World) {
    let sandbox = world.stored_sandbox().await;
    let commands = world.store.commands();
    let id = world.stored_command(&sandbox).await.id;
    let steps = [
        (Queued, false),
        (Starting, true),
        (Queued, false),
        (Running, true),
        (Starting, false),
        (Running, false),
    ];
    for (state, taken) in steps {
        let advanced = commands
            .advance(&id, &Progress::new(state))
            .await
            .expect("advance");
        assert_eq!(advanced.is_some(), taken, "{state:?}");
    }
}

pub(crate) async fn of_racing_endings_one_stands(world: World) {
    let sandbox = world.stored_sandbox().await;
    let id = world.stored_command(&sandbox).await.id;
    let mut racing = JoinSet::new();
    for (n, state) in ENDINGS.into_iter().cycle().take(24).enumerate() {
        let (store, id) = (world.store.clone(), id.clone());
        let step = Progress::ended(state, at(i64::try_from(n).expect("small")));
        racing.spawn(async move { store.commands().advance(&id, &step).await.expect("advance") });
    }
    let winners: Vec<Command> = racing.join_all().await.into_iter().flatten().collect();
    assert_eq!(winners.len(), 1);
    assert_eq!(
        world.store.commands().get(&id).await.expect("get").as_ref(),
        winners.first()
    );
}

pub(crate) async fn a_forced_cancel_stays_forced(world: World) {
    let sandbox = world.stored_sandbox().await;
    let commands = world.store.commands();
    let id = world.stored_command(&sandbox).await.id;
    for (mode, kept) in [
        (CancelMode::Graceful, CancelMode::Graceful),
        (CancelMode::Force, CancelMode::Force),
        (CancelMode::Graceful, CancelMode::Force),
    ] {
        let cancelled = commands
            .set_cancel(&id, mode)
            .await
            .expect("cancel")
            .expect("unfinished");
        assert_eq!(cancelled.cancel, Some(kept));
    }
}

pub(crate) async fn everything_unfinished_is_lost_with_the_guest(world: World) {
    let sandbox = world.stored_sandbox().await;
    let other = world.stored_sandbox().await;
    let commands = world.store.commands();
    let mut unfinished = Vec::new();
    for step in [None, Some(Starting), Some(Running)] {
        let id = world.stored_command(&sandbox).await.id;
        if let Some(state) = step {
            commands
                .advance(&id, &Progress::new(state))
                .await
                .expect("advance");
        }
        unfinished.push(id);
    }
    let ended = world.stored_command(&sandbox).await.id;
    let exit = Progress::ended(Exited(ExitStatus::Code(3)), at(30));
    commands.advance(&ended, &exit).await.expect("advance");
    let elsewhere = world.stored_command(&other).await.id;
    let ids = |found: Vec<Command>| found.into_iter().map(|c| c.id).collect::<Vec<_>>();
    let mut found = ids(commands.list_unfinished(&sandbox.id).await.expect("list"));
    found.sort();
    unfinished.sort();
    assert_eq!(found, unfinished);
    assert_eq!(
        commands
            .end_unfinished(&sandbox.id, Unfinished::Killed, at(50))
            .await
            .expect("lose"),
        3
    );
    for id in &unfinished {
        let killed = commands.get(id).await.expect("get").expect("it is there");
        assert_eq!((killed.state, killed.ended_at), (Killed, Some(at(50))));
    }
    let kept = commands
        .get(&ended)
        .await
        .expect("get")
        .expect("it is there");
    assert_eq!(kept.state, Exited(ExitStatus::Code(3)));
    assert_eq!(
        ids(commands.list_unfinished_all().await.expect("list")),
        [elsewhere]
    );
}

pub(crate) async fn steps_taken_together_count_like_single_ones(world: World) {
    let sandbox = world.stored_sandbox().await;
    let commands = world.store.commands();
    let ended = world.stored_command(&sandbox).await.id;
    let running = world.stored_command(&sandbox).await.id;
    let lost = Progress::ended(Lost, at(31));
    commands.advance(&ended, &lost).await.expect("advance");
    let exit = Exited(ExitStatus::Code(0));
    let steps = [
        (ended.clone(), Progress::ended(exit, at(40))),
        (running.clone(), Progress::running(at(41))),
        (running.clone(), Progress::ended(exit, at(42))),
    ];
    commands.advance_all(&steps).await.expect("advance");
    commands.advance_all(&[]).await.expect("nothing to do");
    let state = async |id| commands.get(id).await.expect("get").expect("there").state;
    assert_eq!(state(&ended).await, Lost, "an ending stays");
    assert_eq!(state(&running).await, exit);
}
