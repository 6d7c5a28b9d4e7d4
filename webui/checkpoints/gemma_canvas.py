"""DiffusionGemma's encoder and decoder as one pass over a row. Both have the same weights but for a factor
behind each layer: the encoder reads the text so far causally, the decoder denoises a block that sees all of
it and itself. The layers are those of transformers.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutput
from transformers.models.diffusion_gemma import modeling_diffusion_gemma as gemma
from transformers.models.diffusion_gemma.configuration_diffusion_gemma import DiffusionGemmaTextConfig


class Layer(gemma.DiffusionGemmaDecoderTextLayer):
    """A layer with both factors: the decoder's in the columns that are being denoised, the encoder's in the
    others."""

    def __init__(self, config: Any, number: int):
        super().__init__(config, number)
        del self.layer_scalar
        self.layer_scalar = 1.0  # what the published class multiplies by; the factors come behind it
        self.encoder_scalar = nn.Buffer(torch.ones(1))
        self.decoder_scalar = nn.Buffer(torch.ones(1))

    def forward(self, hidden_states: Tensor, *, inside: Tensor, **more: Any) -> Tensor:
        hidden = super().forward(hidden_states, **more)
        return hidden * torch.where(inside[..., None], self.decoder_scalar, self.encoder_scalar)


class Body(nn.Module):
    """Everything but the head."""

    def __init__(self, config: Any):
        super().__init__()
        self.config = config
        self.embed_tokens = gemma.DiffusionGemmaTextScaledWordEmbedding(
            config.vocab_size, config.hidden_size, config.pad_token_id, embed_scale=config.hidden_size**0.5
        )
        self.layers = nn.ModuleList(Layer(config, number) for number in range(config.num_hidden_layers))
        self.norm = gemma.DiffusionGemmaRMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.rotary_emb = gemma.DiffusionGemmaTextRotaryEmbedding(config)
        self.self_conditioning = gemma.DiffusionGemmaSelfConditioning(config)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        position_ids: Tensor,
        inside: Tensor,
        guess: tuple[Tensor, Tensor] | None = None,
        use_cache: bool = False,
    ) -> Any:
        """Hidden states (B, L, D).

        attention_mask  (B, 1, L, L): what is added to the attention logits, as of a layer that sees all
        inside          (B, L) bool: the columns that are being denoised, the last ones of each row
        guess           see `Canvas.guess`
        """
        embedded = self.embed_tokens(input_ids)
        soft = torch.zeros_like(embedded) if guess is None else self._soft(*guess)
        x = torch.where(inside[..., None], self.self_conditioning(embedded, soft), embedded)
        kinds = set(self.config.layer_types)
        turned = {kind: self.rotary_emb(x, position_ids, kind) for kind in kinds}
        masks = {
            "full_attention": attention_mask,
            "sliding_attention": self._sliding(attention_mask, position_ids, inside),
        }
        for layer, kind in zip(self.layers, self.config.layer_types, strict=True):
            x = layer(
                x,
                inside=inside,
                position_embeddings=turned[kind],
                attention_mask=masks[kind],
                position_ids=position_ids,
            )
        return BaseModelOutput(last_hidden_state=self.norm(x))

    def _soft(self, logits: Tensor, place: Tensor) -> Tensor:
        """(B, L, D): the mean embedding of what the step before thought likely, 0 where it thought
        nothing."""
        weight = self.embed_tokens.weight
        kind = torch.promote_types(torch.float32, weight.dtype)
        shares = logits.to(weight.dtype).softmax(-1, dtype=kind).to(weight.dtype)
        soft = shares @ weight * self.embed_tokens.embed_scale.to(weight.dtype)
        rows = torch.arange(len(place), device=place.device)[:, None]
        return torch.where(place[..., None] < 0, 0.0, soft[rows, place.clamp(min=0)])

    def _sliding(self, mask: Tensor, position: Tensor, inside: Tensor) -> Tensor:
        """The mask of a layer with a window: of the text so far, a column sees the last `sliding_window`
        positions up to itself, and one that is being denoised the last `sliding_window` - 1."""
        window = self.config.sliding_window
        far = position[:, :, None] - position[:, None, :] >= window
        most = torch.where(inside, position, position.amax(1, keepdim=True) + 1)
        begin = most.amin(1)[:, None, None]  # (B, 1, 1): where the block begins
        old = ~inside[:, None, :] & (position[:, None, :] < begin - (window - 1))
        hidden = torch.where(inside[:, :, None], old, far)
        return mask.masked_fill(hidden[:, None], torch.finfo(mask.dtype).min)


class Head(nn.Module):
    """Logits, pulled towards 0 so that none is larger than the cap."""

    def __init__(self, linear: nn.Linear, cap: float):
        super().__init__()
        self.linear, self.cap = linear, cap

    def forward(self, x: Tensor) -> Tensor:
        logits = self.linear(x)
        logits = logits.float() if logits.dtype.itemsize < 4 else logits
        return torch.tanh(logits / self.cap) * self.cap


class GemmaCanvas(gemma.DiffusionGemmaPreTrainedModel):
    """The text part of `DiffusionGemmaForBlockDiffusion`, without the images."""

    config_class = DiffusionGemmaTextConfig

    def __init__(self, config: Any):
        super().__init__(config)
        self._tied_weights_keys = {"lm_head.weight": "model.embed_tokens.weight"}
        self.model = Body(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    def get_input_embeddings(self) -> Any:
        return self.model.embed_tokens

    def get_output_embeddings(self) -> Any:
        return self.lm_head

    def forward(self, input_ids: Tensor, **more: Any) -> Any:
        """Hidden states; the program calls body and head by themselves."""
        return self.model(input_ids, **more)

    def _init_weights(self, module: Any) -> None:
        """What no file has: the factor of the embedding, the rotary speeds."""
        if not isinstance(module, Layer):
            super()._init_weights(module)
