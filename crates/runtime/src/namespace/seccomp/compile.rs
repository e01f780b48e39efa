//! From actions to a classic BPF program (seccomp(2), linux/filter.h).

use std::collections::BTreeMap;

use pinfold_sys::seccomp::Instruction;

use super::Action;

const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
const JUMP: u16 = 0x05; // BPF_JMP | BPF_JA
const JUMP_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const JUMP_GREATER_EQUAL: u16 = 0x35; // BPF_JMP | BPF_JGE | BPF_K
const JUMP_ANY_BIT: u16 = 0x45; // BPF_JMP | BPF_JSET | BPF_K
const RETURN: u16 = 0x06; // BPF_RET | BPF_K

const ALLOW: u32 = 0x7fff_0000;
const KILL_PROCESS: u32 = 0x8000_0000;
const ERRNO: u32 = 0x0005_0000;
const EPERM: u32 = ERRNO | 1;
const ENOSYS: u32 = ERRNO | 38;

/// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;

#[cfg(target_arch = "x86_64")]
const NATIVE: u32 = 0xc000_003e; // AUDIT_ARCH_X86_64
#[cfg(target_arch = "aarch64")]
const NATIVE: u32 = 0xc000_00b7; // AUDIT_ARCH_AARCH64

/// A call of another architecture ends the process: its numbers mean other calls. The x32 calls of
/// x86-64 are numbers from 2^30 up and thereby absent.
pub(super) fn program(actions: &BTreeMap<u32, Action>) -> Vec<Instruction> {
    let mut program = vec![
        load(ARCHITECTURE),
        jump(JUMP_EQUAL, NATIVE, 1, 0),
        answer(KILL_PROCESS),
        load(NUMBER),
    ];
    program.extend(search(&segments(actions)));
    program
}

/// Runs of call numbers with the same action: where each begins. The first begins at 0.
fn segments(actions: &BTreeMap<u32, Action>) -> Vec<(u32, Action)> {
    let mut segments: Vec<(u32, Action)> = Vec::new();
    let mut put = |start: u32, action: Action| match segments.last_mut() {
        Some((last, old)) if *last == start => *old = action,
        Some((_, old)) if *old == action => {}
        _ => segments.push((start, action)),
    };
    put(0, Action::Absent);
    for (number, action) in actions {
        put(*number, action.clone());
        if !actions.contains_key(&(number + 1)) {
            put(number + 1, Action::Absent);
        }
    }
    segments
}

/// A balanced tree: numbers from the middle segment's start go right, the others left.
fn search(segments: &[(u32, Action)]) -> Vec<Instruction> {
    if let [(_, action)] = segments {
        return leaf(action);
    }
    let (left, right) = segments.split_at(segments.len() / 2);
    let start = right[0].0;
    let left = search(left);
    let mut code = Vec::new();
    // A conditional jump reaches 255 instructions, a plain one any distance.
    match u8::try_from(left.len()) {
        Ok(over) => code.push(jump(JUMP_GREATER_EQUAL, start, over, 0)),
        Err(_) => {
            code.push(jump(JUMP_GREATER_EQUAL, start, 0, 1));
            code.push(Instruction {
                code: JUMP,
                jump_true: 0,
                jump_false: 0,
                value: left.len() as u32,
            });
        }
    }
    code.extend(left);
    code.extend(search(right));
    code
}

fn leaf(action: &Action) -> Vec<Instruction> {
    match action {
        Action::Allow => vec![answer(ALLOW)],
        Action::Deny => vec![answer(EPERM)],
        Action::Absent => vec![answer(ENOSYS)],
        Action::DenyBits { argument, bits } => vec![
            load(low_half(*argument)),
            jump(JUMP_ANY_BIT, *bits, 0, 1),
            answer(EPERM),
            answer(ALLOW),
        ],
        Action::DenyValues { argument, values } => one_of(*argument, values, EPERM, ALLOW),
        Action::OnlyValues { argument, values } => one_of(*argument, values, ALLOW, EPERM),
    }
}

fn one_of(argument: u8, values: &[u32], found: u32, other: u32) -> Vec<Instruction> {
    let mut code = vec![load(low_half(argument))];
    for (at, value) in values.iter().enumerate() {
        let to_found = values.len() - at;
        code.push(jump(JUMP_EQUAL, *value, to_found as u8, 0));
    }
    code.extend([answer(other), answer(found)]);
    code
}

/// Where the low half of an argument stands. The kernel itself looks at no more than 32 bits of the
/// arguments that the policy names (flags of clone, ioctl's command, small integers).
fn low_half(argument: u8) -> u32 {
    let big_endian = cfg!(target_endian = "big");
    ARGUMENTS + 8 * u32::from(argument) + if big_endian { 4 } else { 0 }
}

fn load(offset: u32) -> Instruction {
    Instruction {
        code: LOAD,
        jump_true: 0,
        jump_false: 0,
        value: offset,
    }
}

fn jump(code: u16, value: u32, jump_true: u8, jump_false: u8) -> Instruction {
    Instruction {
        code,
        jump_true,
        jump_false,
        value,
    }
}

fn answer(value: u32) -> Instruction {
    Instruction {
        code: RETURN,
        jump_true: 0,
        jump_false: 0,
        value,
    }
}
