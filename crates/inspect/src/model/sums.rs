//! Sums of rows of the table, in words of the machine: four sums of sixteen bits in each of four words.

use super::WIDTH;

/// A row of the table, each number raised by [`BIAS`].
#[derive(Clone, Copy)]
pub(super) struct Row([u64; WIDTH / 8]);

/// Makes all numbers of a row positive, so that no sum borrows from its neighbour.
const BIAS: u8 = 128;
/// Every second byte of a word.
const EVEN: u64 = 0x00ff_00ff_00ff_00ff;

impl Row {
    pub fn of(row: &[u8; WIDTH]) -> Row {
        let raised = row.map(|byte| byte ^ BIAS);
        let word =
            |at: usize| raised[at..].first_chunk().map_or(0, |eight| u64::from_le_bytes(*eight));
        Row([word(0), word(8)])
    }
}

/// The sum of at most [`Sums::MOST`] rows.
#[derive(Clone, Copy, Default)]
pub(super) struct Sums {
    lanes: [u64; WIDTH / 4],
    rows: u16,
}

impl Sums {
    /// So many rows fit.
    pub const MOST: usize = (u16::MAX / u8::MAX as u16) as usize;

    #[inline]
    pub fn add(&mut self, Row([low, high]): &Row) {
        // Nothing wraps (see above).
        let [a, b, c, d] = &mut self.lanes;
        *a = a.wrapping_add(low & EVEN);
        *b = b.wrapping_add(low >> 8 & EVEN);
        *c = c.wrapping_add(high & EVEN);
        *d = d.wrapping_add(high >> 8 & EVEN);
        self.rows = self.rows.wrapping_add(1);
    }

    /// The sum of each column.
    pub fn columns(self) -> [i32; WIDTH] {
        let raised = i32::from(self.rows) * i32::from(BIAS);
        std::array::from_fn(|column| {
            let lane = self.lanes[column / 8 * 2 + column % 2] >> (column % 8 / 2 * 16);
            i32::from(lane as u16) - raised
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn columns_are_sums(rows in prop::collection::vec(any::<[i8; WIDTH]>(), 0..=Sums::MOST)) {
            let mut sums = Sums::default();
            rows.iter().for_each(|row| sums.add(&Row::of(&row.map(|one| one as u8))));
            let of = |column: usize| rows.iter().map(|row| i32::from(row[column])).sum();
            prop_assert_eq!(sums.columns(), std::array::from_fn(of));
        }
    }
}
