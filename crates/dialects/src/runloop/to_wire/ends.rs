//! Of something long its beginning and its end, in bounded memory.

use std::collections::VecDeque;

/// How much there is room for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    pub(super) items: usize,
    pub(super) bytes: usize,
}

impl Room {
    fn take(&mut self, bytes: usize) -> bool {
        let fits = self.items > 0 && self.bytes >= bytes;
        if fits {
            self.items -= 1;
            self.bytes -= bytes;
        }
        fits
    }
}

/// The first items that fit, and the last ones.
#[derive(Debug)]
pub(super) struct Ends<T> {
    first: Vec<T>,
    first_room: Room,
    last: VecDeque<(usize, T)>,
    last_room: Room,
    left_out: u64,
}

impl<T> Ends<T> {
    pub(super) fn new(first_room: Room, last_room: Room) -> Self {
        Self {
            first: Vec::new(),
            first_room,
            last: VecDeque::new(),
            last_room,
            left_out: 0,
        }
    }

    pub(super) fn push(&mut self, item: T, bytes: usize) {
        if self.last.is_empty() && self.left_out == 0 && self.first_room.take(bytes) {
            self.first.push(item);
            return;
        }
        while !self.last_room.take(bytes) {
            let Some((bytes, _)) = self.last.pop_front() else {
                self.left_out += 1;
                return;
            };
            self.last_room.items += 1;
            self.last_room.bytes += bytes;
            self.left_out += 1;
        }
        self.last.push_back((bytes, item));
    }

    /// All that was kept; where something is missing stands what `notice` makes of how much.
    pub(super) fn finish(self, notice: impl FnOnce(u64) -> T) -> Vec<T> {
        let mut all = self.first;
        if self.left_out > 0 {
            all.push(notice(self.left_out));
        }
        all.extend(self.last.into_iter().map(|(_, item)| item));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(count: i64, first: Room, last: Room) -> Vec<i64> {
        let mut ends = Ends::new(first, last);
        for item in 1..=count {
            ends.push(item, 10);
        }
        ends.finish(|left_out| -i64::try_from(left_out).expect("few"))
    }

    #[test]
    fn what_is_left_out_is_in_the_middle_and_said() {
        let room = |items, bytes| Room { items, bytes };
        assert_eq!(kept(5, room(2, 99), room(3, 99)), [1, 2, 3, 4, 5]);
        assert_eq!(kept(9, room(2, 99), room(3, 99)), [1, 2, -4, 7, 8, 9]);
        assert_eq!(kept(9, room(9, 15), room(9, 25)), [1, -6, 8, 9]);
        assert_eq!(kept(3, room(0, 0), room(0, 0)), [-3]);
        assert_eq!(kept(3, room(0, 0), room(1, 9)), [-3]);
    }
}
