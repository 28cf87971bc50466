//! Numbers of any number of bits inside a string, as `BITFIELD` reads and writes them. *Invariant:* a number that does not fit is
//! wrapped, saturated or left out as was asked; nothing else of the string changes.

use super::bits;
use crate::kv::Value;
use crate::kv::operation::{BitField, BitFieldAct, Overflow};

/// Bytes that a string needs for all that is written to it.
pub fn bytes_written(acts: &[BitFieldAct]) -> u64 {
    let written = acts.iter().map(BitFieldAct::field).filter(|(is_write, _)| *is_write);
    written.map(|(_, field)| (field.offset + u64::from(field.bits)).div_ceil(8)).max().unwrap_or(0)
}

/// Carries out one step on a string that has room for it.
pub fn carry_out(text: &mut [u8], act: &BitFieldAct) -> Value {
    match *act {
        BitFieldAct::Get(field) => Value::Integer(get(text, field)),
        BitFieldAct::Set(field, number, overflow) => {
            let old = get(text, field);
            // An unsigned field takes a negative number for a very large one.
            let wanted = if field.is_signed { i128::from(number) } else { i128::from(number as u64) };
            let Some(number) = fitted(field, wanted, overflow) else { return Value::Nil };
            put(text, field, number);
            Value::Integer(old)
        }
        BitFieldAct::Increment(field, by, overflow) => {
            let wanted = i128::from(get(text, field)) + i128::from(by);
            let Some(number) = fitted(field, wanted, overflow) else { return Value::Nil };
            put(text, field, number);
            Value::Integer(number)
        }
    }
}

fn get(text: &[u8], field: BitField) -> i64 {
    let bits = field.offset..field.offset + u64::from(field.bits);
    let number = bits.fold(0_u64, |number, at| number << 1 | u64::from(bits::get(text, at)));
    extended(field, number)
}

/// The sign of a signed number goes on to the left.
fn extended(field: BitField, number: u64) -> i64 {
    let unused = 64 - u32::from(field.bits);
    match field.is_signed {
        true => (number << unused) as i64 >> unused,
        false => (number << unused >> unused) as i64,
    }
}

fn fitted(field: BitField, wanted: i128, overflow: Overflow) -> Option<i64> {
    let (min, max) = match field.is_signed {
        true => (-(1_i128 << (field.bits - 1)), (1_i128 << (field.bits - 1)) - 1),
        false => (0, (1_i128 << field.bits) - 1),
    };
    match overflow {
        _ if (min..=max).contains(&wanted) => Some(wanted as i64),
        Overflow::Wrap => Some(extended(field, wanted as u64)),
        Overflow::Saturate => Some(wanted.clamp(min, max) as i64),
        Overflow::Fail => None,
    }
}

fn put(text: &mut [u8], field: BitField, number: i64) {
    for n in 0..u64::from(field.bits) {
        let bit = number >> (u64::from(field.bits) - 1 - n) & 1 == 1;
        let at = field.offset + n;
        let mask = 0x80_u8 >> (at % 8);
        let byte = &mut text[(at / 8) as usize];
        *byte = if bit { *byte | mask } else { *byte & !mask };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_wrap_saturate_or_fail_at_the_edges_of_their_width() {
        let check = |is_signed, bits, act: fn(BitField, Overflow) -> BitFieldAct, want: [Option<i64>; 3]| {
            let field = BitField { is_signed, bits, offset: 3 };
            for (overflow, want) in [Overflow::Wrap, Overflow::Saturate, Overflow::Fail].into_iter().zip(want)
            {
                let mut text = vec![0xff_u8; 9];
                carry_out(&mut text, &BitFieldAct::Set(field, 100, Overflow::Wrap));
                let told = carry_out(&mut text, &act(field, overflow));
                let told = if let Value::Integer(number) = told { Some(number) } else { None };
                assert_eq!(told, want, "{field:?} {overflow:?}");
                let (before, behind) = (text[0] >> 5, bits::get(&text, 3 + u64::from(bits)));
                assert!(before == 7 && behind, "only the field changes");
            }
        };
        let more = |field, overflow| BitFieldAct::Increment(field, 100, overflow);
        let most = |field, overflow| BitFieldAct::Increment(field, i64::MAX, overflow);
        let less = |field, overflow| BitFieldAct::Increment(field, i64::MIN, overflow);
        check(true, 8, more, [Some(-56), Some(127), None]);
        check(false, 7, more, [Some(72), Some(127), None]);
        check(false, 8, more, [Some(200), Some(200), Some(200)]);
        check(true, 64, most, [Some(i64::MIN + 99), Some(i64::MAX), None]);
        check(false, 63, most, [Some(99), Some(i64::MAX), None]);
        check(true, 8, less, [Some(100), Some(-128), None]);
        check(false, 8, less, [Some(100), Some(0), None]);
    }
}
