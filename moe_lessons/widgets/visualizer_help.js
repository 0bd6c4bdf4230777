/** What the words of the visualizer's panels mean, as lists of [term, text]. */

const HELP = {
  controls: [
    [
      "Token",
      "One token of a text, the underlined one. The router decides for every token anew. The five tokens and their " +
        "vectors are planted by us.",
    ],
    ["k", "How many experts run for this token. Work grows with k, not with the number of experts."],
    [
      "Gate form",
      "A (Shazeer et al. 2017): softmax over the kept logits. B (Switch, OLMoE): the kept probabilities as they are. " +
        "B′ (Mixtral in the library transformers): the kept probabilities divided by their sum, which equals A.",
    ],
    [
      "τ",
      "The temperature divides the logits before the softmax. Small τ: nearly everything for the best; large τ: equal " +
        "shares. The order of the logits stays, so τ never changes who runs.",
    ],
    [
      "noise",
      "Noise times ε is added to the scores. It can change who runs. Routers that use noise do so in training only. " +
        "“New noise” takes the next ε.",
    ],
  ],
  picture: [
    ["Logit h", "x·W_g + noise · ε. Only the differences between logits matter from here on. « or »: the bar is cut off."],
    [
      "Prob p",
      "The softmax of all five logits, divided by τ first: what the weights would be if all five ran. It is not the " +
        "chance that an expert is the best one.",
    ],
    [
      "Top-k",
      "The k largest logits win; of equal ones the lower number comes first. The others are cut: set to −∞ before a " +
        "softmax, to 0 after one. A logit of 0 before the softmax would still get a share.",
    ],
    [
      "Weight w",
      "What reaches the output: 0 for every expert that is asleep. It equals the probability only in form B, or when " +
        "all experts run.",
    ],
    [
      "Experts",
      "All that run work at the same time, on the same x. One that is asleep is not computed for this token: no work, " +
        "weight exactly 0. It still takes memory, and the next token may wake it.",
    ],
    ["Sum y", "What the active experts return, each times its weight, added up. E1(x) is a vector as wide as x."],
  ],
  router: [
    [
      "x",
      "It stands for the token: its hidden state after attention. In a real model that is 768 numbers (the small GPT-2) " +
        "to 7,168 (DeepSeek-V3); here it is six. “Edit x” changes them. The gate sees nothing else.",
    ],
    [
      "W_g",
      "The whole gate is this matrix: one column for each expert, its prototype. A model learns it; we planted this one.",
    ],
    ["x·W_g", "Multiply x with a column, number by number, and add up: that is the expert's score."],
    [
      "ε, frozen",
      "One Gaussian random number for each expert. It stays as it is while you move the noise; “New noise” takes the " +
        "next one.",
    ],
    ["+ noise·ε", "What the noise adds to the scores."],
    ["= logit h", "What goes on to the picture above."],
  ],
};
