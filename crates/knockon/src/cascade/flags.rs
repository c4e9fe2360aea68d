//! Reasons not to trust a recoil.

use crate::Error;

/// A reason not to trust a recoil; docs/cascades.md says when each is raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flag {
    /// The energy balance does not close.
    Drift,
    /// The temperature did not rise as the heat says.
    Heat,
    /// Fast or displaced atoms came to the faces of the box.
    SmallBox,
    /// The faces of the box became hot.
    HotBorder,
    /// Two atoms came closer than the potential has data for.
    ClosePair,
    /// The quench did not reach its force.
    Quench,
    /// The box stores less than nothing or more than it was given.
    Hole,
    /// An atom's surroundings are far from the training data.
    Extrapolation,
    /// The thermalised box was not in equilibrium: the one flag that is not raised by what happens in a recoil.
    Start,
}

impl Flag {
    /// All of them, in the order in which records name them.
    pub const ALL: [Self; 9] = [
        Self::Drift,
        Self::Heat,
        Self::SmallBox,
        Self::HotBorder,
        Self::ClosePair,
        Self::Quench,
        Self::Hole,
        Self::Extrapolation,
        Self::Start,
    ];

    /// What files call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Drift => "drift",
            Self::Heat => "heat",
            Self::SmallBox => "small-box",
            Self::HotBorder => "hot-border",
            Self::ClosePair => "close-pair",
            Self::Quench => "quench",
            Self::Hole => "hole",
            Self::Extrapolation => "extrapolation",
            Self::Start => "start",
        }
    }

    /// Refuses names that no flag has: a typo would leave out runs without a word. `place` is what errors call the list.
    pub(crate) fn check_names(names: &[String], place: &str) -> Result<(), Error> {
        let known = Self::ALL.map(Self::name);
        let Some(unknown) = names.iter().find(|name| !known.contains(&name.as_str())) else { return Ok(()) };
        let problem = format!("expected names of flags ({}), found {unknown:?}", known.join(", "));
        Err(Error::input(place, problem, "Name flags as recoils.csv does"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_no_flag_are_refused_with_those_that_there_are() {
        assert!(Flag::check_names(&Flag::ALL.map(|flag| flag.name().to_owned()), "accepted_flags").is_ok());
        let error = Flag::check_names(&["small-box".into(), "smallbox".into()], "accepted_flags");
        let message = error.expect_err("an unknown name").to_string();
        let expected = ["accepted_flags: ", "small-box, hot-border", "found \"smallbox\""];
        assert!(expected.iter().all(|part| message.contains(part)), "{message}");
    }
}
