/**
 * How a router chooses, for pictures drawn in the browser: the arithmetic of moe_lessons/routing.py, step by step.
 *
 * A vector is an array of numbers, a matrix an array of rows; W is (d, N) as in Python, column i the prototype of
 * expert i. Experts are counted from 0. −Infinity is a mask. One token at a time; callers pass numbers they have
 * checked: at least one score above −Infinity, k from 1 to N, temperature above 0.
 */

/** Score every expert: h = x W. x: (d). W: (d, N). Returns (N). */
export function logits(x, W) {
  return W[0].map((_, i) => x.reduce((sum, value, row) => sum + value * W[row][i], 0));
}

/** Positive numbers that sum to 1: exp(h_i/τ) / Σ_j exp(h_j/τ). h: (N). Returns (N), exactly 0 at a mask. */
export function softmax(h, temperature = 1) {
  const largest = Math.max(...h);
  const scores = h.map((score) => Math.exp((score - largest) / temperature)); // (N), the largest is 1
  return divideBySum(scores);
}

/** Indices of the k largest scores, best first; of equal scores the lower index. h: (N). Returns (k). */
export function topK(h, k) {
  const order = [...h.keys()].sort((a, b) => h[b] - h[a] || a - b); // −∞ minus −∞ is NaN, so a tie as well
  return order.slice(0, k);
}

/**
 * Weight of every expert: zero unless it is among the k selected. Every form selects on the logits.
 * h: (N). form: "topk_softmax", "softmax_topk" or "softmax_topk_renorm". Returns (N). Throws for another form.
 */
export function gateWeights(h, k, form = "topk_softmax", temperature = 1) {
  const selected = new Set(topK(h, k));
  const keep = (values, other) => values.map((value, i) => (selected.has(i) ? value : other)); // (N)
  switch (form) {
    case "topk_softmax":
      return softmax(keep(h, -Infinity), temperature);
    case "softmax_topk":
      return keep(softmax(h, temperature), 0);
    case "softmax_topk_renorm":
      return divideBySum(keep(softmax(h, temperature), 0));
    default:
      throw new RangeError(`form = ${form}: expected topk_softmax, softmax_topk or softmax_topk_renorm`);
  }
}

function divideBySum(values) {
  const total = values.reduce((sum, value) => sum + value, 0);
  return values.map((value) => value / total);
}
