// Trains a network with one hidden layer on data/demand.csv. Needs plain Node, no package.
// Reads config.json, rewrites val_dict_list.json after every epoch.
"use strict";
const fs = require("fs");
const path = require("path");

const config = JSON.parse(fs.readFileSync("config.json", "utf8"));
const resultFile = path.join(process.env.RESULT_DIR || ".", "val_dict_list.json");

const table = fs.readFileSync("data/demand.csv", "utf8").trim().split("\n").slice(1);
const points = table.map((line) => {
  const [temperature, weekend, demand] = line.split(",").map(Number);
  return { x: [(temperature - 13) / 10, weekend - 0.3], y: (demand - 46) / 5 };
});
const val = points.filter((_, i) => i % 4 === 3);
const train = points.filter((_, i) => i % 4 !== 3);

const activations = {
  tanh: [Math.tanh, (out) => 1 - out * out],
  relu: [(v) => Math.max(0, v), (out) => (out > 0 ? 1 : 0)],
};
const [activate, slope] = activations[config.activation];

// A small random generator with a seed: the same config gives the same result.
let state = 1;
function random() {
  state = (state * 48271) % 2147483647;
  return state / 2147483647;
}

const units = Array.from({ length: config.hidden }, () => ({
  w: [2 * random() - 1, 2 * random() - 1],
  bias: 2 * random() - 1,
  out: (2 * random() - 1) / Math.sqrt(config.hidden),
}));
let offset = 0;

function forward(x) {
  const hidden = units.map((u) => activate(u.w[0] * x[0] + u.w[1] * x[1] + u.bias));
  return [hidden, hidden.reduce((sum, h, k) => sum + h * units[k].out, offset)];
}

function learn({ x, y }, rate) {
  const [hidden, guess] = forward(x);
  const wrong = guess - y;
  offset -= rate * wrong;
  units.forEach((u, k) => {
    const back = wrong * u.out * slope(hidden[k]);
    u.out -= rate * wrong * hidden[k];
    u.bias -= rate * back;
    x.forEach((value, i) => { u.w[i] -= rate * back * value; });
  });
}

function rmse(set) {
  const squares = set.map(({ x, y }) => (forward(x)[1] - y) ** 2);
  return 5 * Math.sqrt(squares.reduce((a, b) => a + b, 0) / set.length);
}

const rows = [];
for (let epoch = 1; epoch <= config.epochs; epoch += 1) {
  const rate = config.learning_rate * config.decay ** (epoch - 1);
  for (let i = train.length - 1; i > 0; i -= 1) { // shuffle
    const j = Math.floor(random() * (i + 1));
    [train[i], train[j]] = [train[j], train[i]];
  }
  train.forEach((point) => learn(point, rate));
  rows.push({ step: epoch, rmse: rmse(val), train_rmse: rmse(train) });
  // Aside and then renamed: a reader sees the old list or the new one, never half.
  fs.writeFileSync(`${resultFile}.tmp`, JSON.stringify(rows));
  fs.renameSync(`${resultFile}.tmp`, resultFile);
}
console.log(`hidden ${config.hidden}, ${config.activation}: rmse ${rows[rows.length - 1].rmse.toFixed(4)}`);
