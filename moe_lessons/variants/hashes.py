"""Fixed choices: a hash of the token, or of the token and the one before it. Nothing is learned."""

import torch
import torch.nn.functional as F
from torch import Tensor

from moe_lessons.layer import Routing
from moe_lessons.support.state import WideState
from moe_lessons.support.validation import refuse, whole_number


class HashRouter(WideState):
    """Sends each token id to k fixed experts, drawn once: nothing is learned, and nothing but the id counts.

    vocabulary: number of token ids. Raises ValueError for sizes that do not fit. A model in 16 bits keeps the choice:
    the numbers behind it stay in float32, for rounded ones would tie.
    Source: Roller et al. 2021 (arXiv:2106.04426); theirs has k = 1, and several kinds of table.
    """

    def __init__(self, vocabulary: int, num_experts: int, top_k: int, seed: int = 0) -> None:
        super().__init__()
        whole_number("vocabulary", vocabulary, least=1, most=2**31)
        whole_number("top_k", top_k, least=1, most=num_experts)
        generator = torch.Generator().manual_seed(whole_number("seed", seed, least=0, most=2**63 - 1))
        self.register_buffer("table", torch.rand(vocabulary, num_experts, generator=generator))  # (V, N)
        self.table: Tensor
        self.top_k = top_k

    def forward(self, ids: Tensor) -> Routing:
        """Route tokens by their ids (...): to the k largest numbers of the id's row, each with weight 1/k.

        Raises ValueError for what are no ids: −1 would be the last id, and booleans a mask.
        """
        if ids.dtype not in (torch.int64, torch.int32):
            raise refuse("ids", ids.dtype, "token ids, which are whole numbers")
        low, high = map(int, ids.aminmax()) if ids.numel() else (0, 0)
        if low < 0 or high >= len(self.table):
            raise refuse("ids", ids, f"token ids from 0 to {len(self.table) - 1}")
        numbers = self.numbers(ids)  # (..., N), no logits: they only order the experts
        selected = numbers.topk(self.top_k, dim=-1).indices  # (..., k)
        return Routing(numbers, selected, torch.full_like(numbers[..., : self.top_k], 1 / self.top_k))

    def numbers(self, ids: Tensor) -> Tensor:
        """Return the numbers from 0 to 1 that order the experts, (..., N), for ids (...)."""
        return self.table[ids]


class BigramHashRouter(HashRouter):
    """Sends each pair of neighbours, the token before and the token itself, to k fixed experts.

    (u + v) mod 1, with u the row of the token and v that of its predecessor, is as evenly spread as u and tells nothing
    of u alone: every pair has a draw of its own, without a table of V² rows. The first token has a predecessor of its
    own kind. A pair is made of what is written already, so this choice is causal; theirs by the token that follows is
    not ("Oracle Future": it shows how much could be gained by knowing it).
    Source: Roller et al. 2021 (arXiv:2106.04426), Section 3, "Bigram Hash".
    """

    def __init__(self, vocabulary: int, num_experts: int, top_k: int, seed: int = 0) -> None:
        super().__init__(vocabulary, num_experts, top_k, seed)
        generator = torch.Generator().manual_seed(seed + 1)
        self.register_buffer("before", torch.rand(vocabulary + 1, num_experts, generator=generator))  # (V + 1, N)
        self.before: Tensor

    def numbers(self, ids: Tensor) -> Tensor:
        """Return the numbers from 0 to 1 that order the experts, (..., L, N), for ids (..., L) in the order of text."""
        if ids.ndim == 0:
            raise refuse("ids.shape", (), "(..., L): ids in the order of the text")
        previous = F.pad(ids[..., :-1], (1, 0), value=len(self.table))  # (..., L)
        return (self.table[ids] + self.before[previous]) % 1
