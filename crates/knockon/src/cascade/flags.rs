//! Reasons not to trust a recoil.

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
}
