//! The longest common subsequence of two strings, and where it stands in both.

use crate::kv::Value;

/// Bytes that follow one another in both strings.
struct Match {
    one: (usize, usize),
    other: (usize, usize),
}

impl Match {
    fn length(&self) -> usize {
        self.one.1 - self.one.0 + 1
    }
}

/// Lengths for all beginnings of both strings, row by row.
struct Lengths {
    width: usize,
    all: Vec<u32>,
}

impl Lengths {
    fn of(one: &[u8], other: &[u8]) -> Lengths {
        let width = other.len() + 1;
        let mut all = vec![0_u32; (one.len() + 1) * width];
        for (i, a) in one.iter().enumerate() {
            for (j, b) in other.iter().enumerate() {
                let at = (i + 1) * width + j + 1;
                all[at] = match a == b {
                    true => all[i * width + j] + 1,
                    false => all[i * width + j + 1].max(all[at - 1]),
                };
            }
        }
        Lengths { width, all }
    }

    fn at(&self, i: usize, j: usize) -> u32 {
        self.all[i * self.width + j]
    }

    /// Places of equal bytes, from the end to the beginning.
    fn walk(&self, one: &[u8], other: &[u8], mut visit: impl FnMut(usize, usize)) {
        let (mut i, mut j) = (one.len(), other.len());
        while i > 0 && j > 0 {
            if one[i - 1] == other[j - 1] {
                (i, j) = (i - 1, j - 1);
                visit(i, j);
            } else if self.at(i - 1, j) > self.at(i, j - 1) {
                i -= 1;
            } else {
                j -= 1;
            }
        }
    }
}

pub fn longest(one: &[u8], other: &[u8]) -> Vec<u8> {
    let mut common = Vec::new();
    Lengths::of(one, other).walk(one, other, |i, _| common.push(one[i]));
    common.reverse();
    common
}

/// The answer of `LCS IDX`: matches from the end to the beginning, and the whole length.
pub fn ranges(one: &[u8], other: &[u8], length_min: u64, with_length: bool) -> Value {
    let lengths = Lengths::of(one, other);
    let mut all: Vec<Match> = Vec::new();
    lengths.walk(one, other, |i, j| match all.last_mut() {
        Some(last) if last.one.0 == i + 1 && last.other.0 == j + 1 => (last.one.0, last.other.0) = (i, j),
        _ => all.push(Match { one: (i, i), other: (j, j) }),
    });
    let pair = |(from, to): (usize, usize)| Value::Array(vec![Value::count(from), Value::count(to)]);
    let told = all.iter().filter(|found| found.length() as u64 >= length_min).map(|found| {
        let length = with_length.then(|| Value::count(found.length()));
        Value::Array([pair(found.one), pair(found.other)].into_iter().chain(length).collect())
    });
    Value::Map(vec![
        Value::Text("matches".into()),
        Value::Array(told.collect()),
        Value::Text("len".into()),
        Value::Integer(i64::from(lengths.at(one.len(), other.len()))),
    ])
}
