//! From a blueprint to parameters.

use luthier_engine::{Head, Linear, Norm, NormKind, Param, ParamId, Params, Tensor};

use super::attention::{Attention, Projections, QueryKeyNorms};
use super::mlp::{Gated, Mlp};
use super::{Block, Decoder, Embedding};
use crate::blueprint::{self, Blueprint};
use crate::config::Config;
use crate::error::ModelError;

/// A parameter that is wanted.
#[derive(Debug)]
pub(crate) struct Weight<'a> {
    /// Its name as we write it.
    pub(crate) name: &'a str,
    /// Its shape in the files.
    pub(crate) shape: &'a [usize],
    /// Whether its rows are the columns of what lies in the files.
    pub(crate) transposed: bool,
    /// What it is.
    pub(crate) role: Role,
}

impl Weight<'_> {
    /// Its shape once it is read.
    pub(crate) fn in_memory(&self) -> Vec<usize> {
        let mut shape = self.shape.to_vec();
        if self.transposed {
            shape.reverse();
        }
        shape
    }
}

/// What a parameter is, which decides how it begins and how it may be held.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Role {
    /// Embedding or head.
    Table,
    /// Vectors of places, looked up and added.
    Positions,
    /// Of a linear map.
    Matrix,
    Bias,
    /// Of a norm; fresh, the numbers by which nothing changes: 1, or 0 where they are stored less one.
    Norm {
        fresh: f32,
    },
}

impl Decoder {
    /// Registers the decoder's parameters, getting the numbers of each from `fill`.
    ///
    /// # Errors
    /// Those of `fill`.
    pub(crate) fn build(
        config: &Config,
        params: &mut Params,
        fill: impl FnMut(&Weight<'_>) -> Result<Tensor, ModelError>,
    ) -> Result<Self, ModelError> {
        let plan = &config.blueprint;
        let mut builder = Builder { plan, width: config.hidden_size, params, fill };
        let embedding = builder.embedding(config.vocab_size)?;
        let mut blocks = Vec::with_capacity(plan.blocks.len());
        for block in &plan.blocks {
            blocks.push(builder.block(block, config.head_dim)?);
        }
        let last_norm = plan.last_norm.as_ref().map(|name| builder.norm(name, config.hidden_size)).transpose()?;
        let projection = plan.head.projection.as_ref().map(|map| builder.linear(map)).transpose()?;
        let head = if plan.head.tied {
            embedding.table
        } else {
            let name = format!("{}.weight", plan.head.name);
            builder.add(&name, &[config.vocab_size, plan.embedding.width], Role::Table, false)?
        };
        let head = Head { weight: head, scale: plan.head.scale, softcap: plan.head.softcap };
        let (ropes, residual_scale) = (plan.ropes.clone(), plan.residual_scale);
        Ok(Self { embedding, blocks, last_norm, projection, head, ropes, residual_scale })
    }
}

struct Builder<'a, F> {
    plan: &'a Blueprint,
    width: usize,
    params: &'a mut Params,
    fill: F,
}

impl<F: FnMut(&Weight<'_>) -> Result<Tensor, ModelError>> Builder<'_, F> {
    fn add(&mut self, name: &str, shape: &[usize], role: Role, transposed: bool) -> Result<ParamId, ModelError> {
        let tensor = (self.fill)(&Weight { name, shape, transposed, role })?;
        Ok(self.params.push(Param { name: name.to_owned(), shape: shape.to_owned(), tensor, trainable: false }))
    }

    fn full(&self, name: &str) -> String {
        format!("{}{name}", self.plan.prefixes[0])
    }

    fn linear(&mut self, map: &blueprint::Linear) -> Result<Linear, ModelError> {
        let path = self.full(&map.name);
        let shape = if map.transposed { [map.inputs, map.outs] } else { [map.outs, map.inputs] };
        let weight = self.add(&format!("{path}.weight"), &shape, Role::Matrix, map.transposed)?;
        let bias = match map.bias {
            true => Some(self.add(&format!("{path}.bias"), &[map.outs], Role::Bias, false)?),
            false => None,
        };
        Ok(Linear { weight, bias, low_rank: None })
    }

    fn norm(&mut self, name: &str, width: usize) -> Result<Norm, ModelError> {
        let (path, kind) = (self.full(name), self.plan.norm);
        let fresh = if kind == NormKind::RmsPlusOne { 0.0 } else { 1.0 };
        let weight = self.add(&format!("{path}.weight"), &[width], Role::Norm { fresh }, false)?;
        let bias = match kind {
            NormKind::Layer => Some(self.add(&format!("{path}.bias"), &[width], Role::Bias, false)?),
            NormKind::Rms | NormKind::RmsPlusOne => None,
        };
        Ok(Norm { kind, weight, bias, eps: self.plan.eps })
    }

    fn embedding(&mut self, vocabulary: usize) -> Result<Embedding, ModelError> {
        let plan = &self.plan.embedding;
        let name = format!("{}.weight", self.full(&plan.name));
        let table = self.add(&name, &[vocabulary, plan.width], Role::Table, false)?;
        let projection = plan.projection.as_ref().map(|map| self.linear(map)).transpose()?;
        let positions = match &plan.positions {
            Some(positions) => {
                let name = format!("{}.weight", self.full(&positions.name));
                let table = self.add(&name, &[positions.rows, self.width], Role::Positions, false)?;
                Some((table, positions.offset))
            }
            None => None,
        };
        let norm = plan.norm.as_ref().map(|name| self.norm(name, self.width)).transpose()?;
        Ok(Embedding { table, scale: plan.scale, projection, positions, norm })
    }

    fn block(&mut self, plan: &blueprint::Block, head_dim: usize) -> Result<Block, ModelError> {
        let attention = self.attention(&plan.attention, head_dim)?;
        let mlp = self.mlp(&plan.mlp)?;
        let width = self.width;
        let norms = plan.norms.map(|name| self.norm(name, width))?;
        Ok(Block { norms, attention, mlp })
    }

    fn attention(&mut self, plan: &blueprint::Attention, head_dim: usize) -> Result<Attention, ModelError> {
        let projections = match &plan.projections {
            blueprint::Projections::Separate { q, k, v } => {
                Projections::Separate { q: self.linear(q)?, k: self.linear(k)?, v: self.linear(v)? }
            }
            blueprint::Projections::Fused { qkv, widths, groups } => {
                Projections::Fused { qkv: self.linear(qkv)?, widths: *widths, groups: *groups }
            }
        };
        let output = self.linear(&plan.output)?;
        let query_key_norms = match &plan.query_key_norms {
            None => None,
            Some(norms) => {
                let width = |heads: usize| if norms.by_head { head_dim } else { heads * head_dim };
                let q = self.norm(&norms.q, width(plan.shape.heads))?;
                let k = self.norm(&norms.k, width(plan.shape.kv_heads))?;
                Some(QueryKeyNorms { q, k, by_head: norms.by_head })
            }
        };
        Ok(Attention { projections, query_key_norms, output, shape: plan.shape, rope: plan.rope })
    }

    fn mlp(&mut self, plan: &blueprint::Mlp) -> Result<Mlp, ModelError> {
        Ok(match plan {
            blueprint::Mlp::Gated { gate, up, down, activation } => Mlp::Gated(Gated {
                gate: self.linear(gate)?,
                up: self.linear(up)?,
                down: self.linear(down)?,
                activation: *activation,
            }),
            blueprint::Mlp::FusedGated { gate_up, down, activation } => Mlp::FusedGated {
                gate_up: self.linear(gate_up)?,
                down: self.linear(down)?,
                width: down.inputs,
                activation: *activation,
            },
            blueprint::Mlp::Plain { up, down, activation } => {
                Mlp::Plain { up: self.linear(up)?, down: self.linear(down)?, activation: *activation }
            }
            blueprint::Mlp::Experts { router, experts, chosen, renormalise, activation } => {
                let router = self.linear(router)?;
                let mut maps = Vec::with_capacity(experts.len());
                for [gate, up, down] in experts {
                    let [gate, up, down] = [self.linear(gate)?, self.linear(up)?, self.linear(down)?];
                    maps.push(Gated { gate, up, down, activation: *activation });
                }
                Mlp::Experts { router, experts: maps, chosen: *chosen, renormalise: *renormalise }
            }
        })
    }
}
