//! The filter is run as the kernel runs it, for every call number there is.

use std::collections::BTreeSet;

use super::*;

fn policy() -> Policy {
    serde_json::from_str(POLICY).expect("the policy parses")
}

/// Runs a program as the kernel does, over `struct seccomp_data`.
fn run(program: &[Instruction], architecture: u32, number: u32, arguments: [u64; 6]) -> u32 {
    let mut data = Vec::new();
    data.extend(number.to_ne_bytes());
    data.extend(architecture.to_ne_bytes());
    data.extend(0u64.to_ne_bytes());
    arguments
        .iter()
        .for_each(|argument| data.extend(argument.to_ne_bytes()));
    let (mut at, mut accumulator) = (0, 0u32);
    loop {
        let Instruction {
            code,
            jump_true,
            jump_false,
            value,
        } = program[at];
        at += 1;
        let condition = match code {
            0x20 => {
                let offset = value as usize;
                let word = data[offset..offset + 4].try_into().expect("four bytes");
                accumulator = u32::from_ne_bytes(word);
                continue;
            }
            0x06 => return value,
            0x05 => {
                at += value as usize;
                continue;
            }
            0x15 => accumulator == value,
            0x35 => accumulator >= value,
            0x45 => accumulator & value != 0,
            other => panic!("unexpected instruction {other:#x}"),
        };
        at += usize::from(if condition { jump_true } else { jump_false });
    }
}

const ALLOW: u32 = 0x7fff_0000;
const EPERM: u32 = 0x0005_0001;
const ENOSYS: u32 = 0x0005_0026;
const X86_64: u32 = 0xc000_003e;

fn compiled() -> Vec<Instruction> {
    let bytes = filter();
    bytes
        .as_chunks::<8>()
        .0
        .iter()
        .map(|chunk| Instruction::from_bytes(*chunk))
        .collect()
}

#[test]
fn every_call_is_listed_exactly_once() {
    let policy = policy();
    let conditional = policy.deny_bits.iter().map(|b| &b.syscall);
    let conditional = conditional
        .chain(policy.deny_values.iter().map(|v| &v.syscall))
        .chain(policy.only_values.iter().map(|v| &v.syscall));
    let mut listed = BTreeSet::new();
    for name in policy
        .allow
        .iter()
        .chain(&policy.deny)
        .chain(&policy.absent)
        .chain(conditional)
    {
        assert!(listed.insert(name.clone()), "{name} is listed twice");
    }
    let missing: Vec<_> = Sysno::iter()
        .map(|call| call.name())
        .filter(|name| !listed.contains(*name))
        .collect();
    assert!(missing.is_empty(), "not in the policy: {missing:?}");
    let known: BTreeSet<_> = Sysno::iter().map(|call| call.name().to_owned()).collect();
    let other_architectures = ["riscv_flush_icache", "set_thread_area"];
    let unused: Vec<_> = listed
        .iter()
        .filter(|name| !known.contains(*name) && !other_architectures.contains(&name.as_str()))
        .collect();
    assert!(unused.is_empty(), "no such calls: {unused:?}");
}

#[test]
fn the_program_does_what_the_policy_says_for_every_number() {
    let program = compiled();
    let actions = policy().actions();
    for number in (0..2000).chain([1 << 30, (1 << 30) + 59, u32::MAX]) {
        let expected = match actions.get(&number) {
            Some(Action::Allow) => ALLOW,
            Some(Action::Deny) => EPERM,
            Some(Action::Absent) | None => ENOSYS,
            Some(_) => continue,
        };
        assert_eq!(
            run(&program, X86_64, number, [0; 6]),
            expected,
            "call {number}"
        );
    }
}

#[test]
fn conditions_look_at_their_argument() {
    let program = compiled();
    let call = |name: &str, arguments: [u64; 6]| {
        let number = Sysno::from_str(name).expect(name).id() as u32;
        run(&program, X86_64, number, arguments)
    };
    let first = |value: u64| [value, 0, 0, 0, 0, 0];
    let second = |value: u64| [0, value, 0, 0, 0, 0];
    // What a thread and a fork of libc pass.
    assert_eq!(call("clone", first(0x3d_0f00)), ALLOW);
    assert_eq!(call("clone", first(0x0120_0011)), ALLOW);
    for namespace in [
        0x2_0000,
        0x0200_0000,
        0x0400_0000,
        0x0800_0000,
        0x1000_0000u64,
        0x2000_0000,
        0x4000_0000,
    ] {
        assert_eq!(
            call("clone", first(namespace | 17)),
            EPERM,
            "{namespace:#x}"
        );
    }
    assert_eq!(call("ioctl", second(0x5401)), ALLOW);
    assert_eq!(call("ioctl", second(0x5412)), EPERM);
    // The kernel only sees 32 bits of the command; the upper half must not hide it.
    assert_eq!(call("ioctl", second(0xdead_0000_0000_5412)), EPERM);
    assert_eq!(call("socket", first(2)), ALLOW);
    for family in [0, 17, 38, 40] {
        assert_eq!(call("socket", first(family)), EPERM, "family {family}");
    }
    // A pair makes its sockets before it finds that the family has none.
    assert_eq!(call("socketpair", first(1)), ALLOW);
    for family in [0, 2, 16, 30, 40] {
        assert_eq!(call("socketpair", first(family)), EPERM, "family {family}");
    }
    assert_eq!(call("personality", first(0xffff_ffff)), ALLOW);
    assert_eq!(call("personality", first(0x0100_0000)), EPERM);
}

#[test]
fn other_architectures_end_the_process() {
    assert_eq!(run(&compiled(), 0x4000_0003, 1, [0; 6]), 0x8000_0000);
}
