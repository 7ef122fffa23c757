//! The feed-forward part of a block.

use luthier_engine::{Activation, Linear, Tape, Var};

#[derive(Clone, Debug)]
pub(super) enum Mlp {
    Gated(Gated),
    FusedGated { gate_up: Linear, down: Linear, width: usize, activation: Activation },
    Plain { up: Linear, down: Linear, activation: Activation },
    Experts { router: Linear, experts: Vec<Gated>, chosen: usize, renormalise: bool },
}

/// `down(activation(gate x) * up x)`.
#[derive(Clone, Debug)]
pub(super) struct Gated {
    pub(super) gate: Linear,
    pub(super) up: Linear,
    pub(super) down: Linear,
    pub(super) activation: Activation,
}

impl Mlp {
    /// h: `[N, C]` -> `[N, C]`. `is_last` says that what it gives goes out of its block as it is (see [`Tape::last_linear`]).
    pub(super) fn forward(&self, tape: &mut Tape<'_>, h: &Var, is_last: bool) -> Var {
        match self {
            Self::Gated(mlp) => mlp.forward(tape, h, is_last),
            Self::FusedGated { gate_up, down, width, activation } => {
                let both = tape.linear(h, gate_up);
                let parts = tape.split(&both, &[*width, *width], 1);
                let gated = tape.gated(&parts[0], &parts[1], *activation);
                linear(tape, &gated, down, is_last)
            }
            Self::Plain { up, down, activation } => {
                let up = tape.linear(h, up);
                let active = tape.activate(&up, *activation);
                linear(tape, &active, down, is_last)
            }
            Self::Experts { router, experts, chosen, renormalise } => {
                let logits = tape.linear(h, router);
                let (routing, weights) = tape.route(&logits, *chosen, *renormalise);
                let mut parts = Vec::new();
                for (index, expert) in experts.iter().enumerate() {
                    let rows = routing.rows(index);
                    if !rows.is_empty() {
                        let own = tape.gather(h, rows);
                        parts.push((index, expert.forward(tape, &own, false)));
                    }
                }
                tape.mix(&parts, &routing, &weights, h.tensor.rows())
            }
        }
    }

    pub(super) fn linears_mut(&mut self) -> Vec<&mut Linear> {
        match self {
            Self::Gated(mlp) => mlp.linears_mut().into(),
            Self::FusedGated { gate_up: up, down, .. } | Self::Plain { up, down, .. } => vec![up, down],
            Self::Experts { router, experts, .. } => {
                std::iter::once(router).chain(experts.iter_mut().flat_map(Gated::linears_mut)).collect()
            }
        }
    }
}

impl Gated {
    fn forward(&self, tape: &mut Tape<'_>, h: &Var, is_last: bool) -> Var {
        let gate = tape.linear(h, &self.gate);
        let up = tape.linear(h, &self.up);
        let gated = tape.gated(&gate, &up, self.activation);
        linear(tape, &gated, &self.down, is_last)
    }

    fn linears_mut(&mut self) -> [&mut Linear; 3] {
        [&mut self.gate, &mut self.up, &mut self.down]
    }
}

fn linear(tape: &mut Tape<'_>, x: &Var, map: &Linear, is_last: bool) -> Var {
    if is_last { tape.last_linear(x, map) } else { tape.linear(x, map) }
}
