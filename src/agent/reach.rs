//! Whether the server can be reached, as somebody who asks it again and again sees it.

/// How the last try of one asker went.
#[derive(Debug, Default)]
pub(super) struct Reach {
    unmet: bool,
}

impl Reach {
    /// Takes in how a try went: whether it met a server. Says whether that is news: the server was away and is back.
    pub(super) fn note(&mut self, met: bool) -> bool {
        std::mem::replace(&mut self.unmet, !met) && met
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_return_is_told_once_and_only_after_an_absence() {
        let mut reach = Reach::default();
        let told = [true, false, false, true, true, false, true].map(|met| reach.note(met));
        assert_eq!(told, [false, false, false, true, false, false, true]);
    }
}
