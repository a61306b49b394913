//! Room for bodies: what large ones, and what is made of them, take of memory together has a bound, whoever sends them.
//!
//! Small bodies need none, so that those who send large ones hold up each other only.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::base::{Error, Result, limits};

/// What is lent at once.
const PIECE_BYTES: usize = 64 << 10;
/// What a value costs when it is parsed, beyond its text.
const VALUE_BYTES: usize = 50;

/// What all bodies may take together.
#[derive(Clone)]
pub struct Room(Arc<Semaphore>);

/// What one body has been lent, until it is dropped.
#[derive(Default)]
pub struct Lent {
    permit: Option<OwnedSemaphorePermit>,
    pieces: usize,
}

impl Room {
    /// Empty.
    pub fn new() -> Self {
        Self(Arc::new(Semaphore::new(limits::BODIES_BYTES / PIECE_BYTES)))
    }

    /// Waits until a body may take so much in all.
    ///
    /// # Errors
    /// [`Error::TooLarge`] for what never fits.
    pub async fn lend(&self, lent: &mut Lent, bytes: usize) -> Result<()> {
        // The first piece is free.
        let wanted = bytes.saturating_sub(1) / PIECE_BYTES;
        let Some(more) = wanted.checked_sub(lent.pieces).filter(|more| *more > 0) else { return Ok(()) };
        let fits = u32::try_from(more).ok().filter(|_| wanted <= limits::BODIES_BYTES / PIECE_BYTES);
        let permit = self.0.clone().acquire_many_owned(fits.ok_or(Error::TooLarge)?).await.map_err(Error::internal)?;
        match &mut lent.permit {
            Some(all) => all.merge(permit),
            none => *none = Some(permit),
        }
        lent.pieces = wanted;
        Ok(())
    }
}

/// What this text of JSON will take, with what is parsed out of it: at most, as told by its marks.
pub fn cost(text: &[u8]) -> usize {
    if text.len() <= PIECE_BYTES / VALUE_BYTES {
        return text.len();
    }
    let marks = text.iter().filter(|byte| matches!(byte, b',' | b':' | b'[' | b'{')).count();
    text.len() + VALUE_BYTES * marks.min(limits::JSON_VALUES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_large_bodies_take_has_a_bound_and_small_ones_wait_for_nobody() {
        let room = Room::new();
        let mut all = Lent::default();
        room.lend(&mut all, limits::BODIES_BYTES).await.unwrap();
        room.lend(&mut all, limits::BODIES_BYTES / 2).await.unwrap();
        let mut small = Lent::default();
        room.lend(&mut small, PIECE_BYTES).await.unwrap();
        let (other, mut waits) = (room.clone(), Lent::default());
        let waiting = tokio::spawn(async move { other.lend(&mut waits, 3 * PIECE_BYTES).await.map(|()| waits) });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(all);
        let lent = waiting.await.unwrap().unwrap();
        assert_eq!(lent.pieces, 2);
        drop(lent);
        assert_eq!(room.0.available_permits(), limits::BODIES_BYTES / PIECE_BYTES);
        let mut never = Lent::default();
        assert!(matches!(room.lend(&mut never, limits::BODIES_BYTES * 2).await, Err(Error::TooLarge)));
    }

    #[test]
    fn a_wide_text_costs_what_is_made_of_it() {
        assert_eq!(cost(b"{\"a\":1}"), 7);
        let wide = format!("{{\"a\":[{}1]}}", "1,".repeat(100_000));
        assert!(cost(wide.as_bytes()) > 100_000 * VALUE_BYTES);
        assert!(cost(&vec![b','; 32 << 20]) <= (32 << 20) + limits::JSON_VALUES * VALUE_BYTES);
    }
}
