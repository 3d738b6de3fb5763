"""A start for small Llama models: two pairs of heads that copy.

Most of what a small agent says stands in what it was told. That a transformer copies, it learns late and suddenly: two
layers have to find each other. On a CPU that moment may lie beyond all patience, so these weights begin where it ends.
Heads of the first layer tell each token what stands before it; heads of the second look for the place before which the
present token stood, and say what stood there. All other weights begin by chance, and all of them are trained.
"""

import math

import torch
from transformers import LlamaForCausalLM

NOISE = 0.004


@torch.no_grad()
def begin_with_copying_heads(model: LlamaForCausalLM, seed: int) -> None:
    """Sets the weights of two heads in each of the first two layers, and the embeddings that they read."""
    config = model.config
    size, heads = config.hidden_size, config.num_attention_heads
    width = size // heads
    half = width // 2
    part = 2 * (half * 2 // 3)
    if heads < 2 or config.num_key_value_heads != heads or config.num_hidden_layers < 2 or size < 1 + 4 * part:
        raise ValueError("copying heads need two layers, two heads, as many of keys, and room for four parts")
    chance = torch.Generator().manual_seed(seed)
    # Where things stand: a constant; the token, in two parts; the token before it, in two parts.
    token = [slice(1 + at * part, 1 + (at + 1) * part) for at in range(2)]
    before = [slice(1 + (2 + at) * part, 1 + (3 + at) * part) for at in range(2)]

    embeddings = model.get_input_embeddings().weight
    embeddings.normal_(0, NOISE, generator=chance)
    embeddings[:, 0] = 1
    own = torch.randn(len(embeddings), 2 * part, generator=chance)
    embeddings[:, 1 : 1 + 2 * part] = own / own.norm(dim=1, keepdim=True)
    # What a norm makes of an embedding: one of length root two becomes one of length root `size`.
    gain = math.sqrt(size / 2)

    theta = (config.rope_parameters or {}).get("rope_theta", 10000.0)
    turns = [theta ** (-at / half) for at in range(half)]
    # Pairs that turn fast tell places; those that hardly turn, tokens.
    fast, slow = range(4), range(half - part // 2, half)

    first, second = (model.model.layers[at].self_attn for at in range(2))
    for layer in (first, second):
        for matrix in (layer.q_proj, layer.k_proj, layer.v_proj, layer.o_proj):
            matrix.weight.normal_(0, NOISE, generator=chance)
    for at in range(2):
        row = at * width
        values = slice(row, row + part)
        # The first layer: whatever the tokens are, the place before this one.
        strength = math.sqrt(10 * math.sqrt(width)) / gain
        for pair in fast:
            first.q_proj.weight[row + pair, 0] += strength
            first.k_proj.weight[row + pair, 0] += strength * math.cos(turns[pair])
            first.k_proj.weight[row + pair + half, 0] += strength * math.sin(turns[pair])
        first.v_proj.weight[values, token[at]] += torch.eye(part)
        first.o_proj.weight[before[at], values] += torch.eye(part) / gain
        # The second: where the token before was this one. Each head sees half of what a token is.
        strength = math.sqrt(24 * math.sqrt(width)) / (gain * math.sqrt(2 / 3))
        places = [row + pair for pair in slow] + [row + pair + half for pair in slow]
        own_parts = range(token[at].start, token[at].stop)
        parts_before = range(before[at].start, before[at].stop)
        for place, one, other in zip(places, own_parts, parts_before):
            second.q_proj.weight[place, one] += strength
            second.k_proj.weight[place, other] += strength
        second.v_proj.weight[values, token[at]] += torch.eye(part)
        second.o_proj.weight[token[at], values] += torch.eye(part) * 3 / gain
