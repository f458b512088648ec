{ // a block: the names of the module stay apart from those of the page
const element = (id) => document.getElementById(id);
const make = (tag, text, parent, classes) => {
    const found = document.createElement(tag);
    found.textContent = text ?? "";
    if (classes) found.className = classes;
    parent?.append(found);
    return found;
};
const tokens = new Map(symbols.map((symbol, id) => [symbol, id]));
const [H, C] = Object.keys(initialState()).filter((key) => key !== "steps");
const units = initialState()[H].length;
const [first, second] = run.sequences;
const length = first.length, fork = length - 2; // the symbol at `fork` has two right answers
const percent = (share) => `${(100 * share).toFixed(1)}\u00a0%`;
const list = (words) => words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`;

// ---- stepping

function advance(state, symbol) {
    const answer = step(state, tokens.get(symbol), {})[outputs[0]];
    const best = answer.indexOf(Math.max(...answer));
    return {symbol, answer, best: labels[best], probability: answer[best], [H]: state[H].slice(), [C]: state[C].slice()};
}
// Sequences one after the other: symbols, and the only right answer to each; null after the last, when any may begin.
const lay = (sequences) => sequences.flatMap((each) => each.map((symbol, at) => ({symbol, at, wanted: each[at + 1] ?? null})));
function exchange(state) {
    [state[H], state[C]] = [state[C], state[H]];
}
function follow(stream, state = initialState(), swaps = new Set()) {
    return stream.map(({symbol, at, wanted}, place) => {
        const swap = place > 0 && swaps.has(at); // before the first step both are zeros
        if (swap) exchange(state);
        return {...advance(state, symbol), at, wanted, swap};
    });
}
const isWrong = (one) => one.wanted !== null && one.best !== one.wanted;

// ---- drawing

function colour(name) {
    const pen = document.createElement("canvas").getContext("2d");
    pen.fillStyle = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    return [1, 3, 5].map((at) => parseInt(pen.fillStyle.slice(at, at + 2), 16));
}
const scale = {[H]: 1, [C]: 1}; // the largest number of each in what is shown
function drawCells(canvas, columns, key) {
    const [low, middle, high] = ["--low-end", "--middle", "--high-end"].map(colour), pen = canvas.getContext("2d");
    canvas.height = units;
    columns.forEach((column, x) => column?.[key].forEach((value, y) => {
        const end = value < 0 ? low : high, share = Math.min(1, Math.abs(value) / scale[key]);
        pen.fillStyle = `rgb(${middle.map((from, i) => Math.round(from + share * (end[i] - from))).join(" ")})`;
        pen.fillRect(x, y, 1, 1);
    }));
}
// One stream: its symbols, h and c with a column a step, and the answers below. Returns a function that draws it anew.
function panel(parent, title, stream, {label = "answer", tell = true} = {}) {
    const whole = make("section", "", parent), strip = (make("h3", title, whole), make("div", "", whole, "strip"));
    const row = (name, kind) => {
        make("small", name, strip).setAttribute("aria-hidden", "true");
        return make(kind, "", strip, kind === "div" ? "cells" : "");
    };
    const read = row("reads", "div"), canvases = {[H]: row("h", "canvas"), [C]: row("c", "canvas")}, told = tell && row("next", "div");
    for (const [key, canvas] of Object.entries(canvases)) {
        Object.assign(canvas, {width: stream.length, height: units});
        canvas.setAttribute("role", "img");
        canvas.setAttribute("aria-label", `${title}: ${key === H ? "h" : "c"}, a column for each step`);
    }
    return (columns) => {
        read.replaceChildren();
        stream.forEach(({symbol}, at) => {
            const swap = columns[at]?.swap ? " swap" : "", now = at === columns.length - 1 && at < stream.length - 1 ? " now" : "";
            make("span", symbol, read, (at < columns.length ? "" : "ahead") + now + swap);
        });
        for (const [key, canvas] of Object.entries(canvases)) drawCells(canvas, columns, key);
        if (!told) return;
        told.replaceChildren();
        stream.forEach((_, at) => {
            const one = columns[at];
            if (!one) make("span", "", told, "open");
            else if (one.wanted === null) make("span", "·", told, "open").title = "any symbol may begin here";
            else {
                const cell = make("span", one.best, told, isWrong(one) ? "wrong" : "right");
                cell.title = `${label} ${one.best}, ${percent(one.probability)}; right is ${one.wanted}`;
            }
        });
        told.setAttribute("role", "img");
        const judged = columns.filter((one) => one.wanted !== null), bad = judged.filter(isWrong).length;
        told.setAttribute("aria-label", `${judged.length - bad} of ${judged.length} answers are right`);
    };
}

// ---- 1 the task

for (const sequence of run.sequences) {
    const row = make("div", "", element("sequences"), "sequence");
    sequence.forEach((symbol, at) => {
        if (at) make("i", "→", row).setAttribute("aria-hidden", "true");
        make("span", symbol, row, `symbol${at === 0 ? " key" : at === fork ? " fork" : at === length - 1 ? " goal" : ""}`);
    });
}
element("conflict").textContent =
    `Both pass through ${list(first.slice(1, -1))}. After ${first[fork]} comes ${first.at(-1)} in one and ${second.at(-1)} in ` +
    `the other, and only the first symbol tells which. A network without memory sees nothing but ${first[fork]}: it has one ` +
    "answer for both, and half of the time it is wrong, however long it learns.";
function forkRow(title, stream, wanted) {
    const row = make("div", "", element("forks"), "fork-row"), {answer} = follow(lay([stream])).at(-1);
    make("h3", title, row);
    for (const symbol of [first.at(-1), second.at(-1)]) {
        const share = answer[labels.indexOf(symbol)], bar = make("div", "", row, `bar${symbol === wanted ? " wanted" : ""}`);
        make("code", symbol, bar);
        make("i", "", make("span", "", bar)).style.width = `${100 * share}%`;
        make("em", percent(share), bar);
    }
}
for (const each of run.sequences) forkRow(`This network, after ${each.slice(0, -1).join(" ")}`, each.slice(0, -1), each.at(-1));
forkRow(`The same, its state emptied before ${first[fork]}: one answer, whatever came before`, [first[fork]], null);
const off = selftest();
element("proof").append(
    `${name}: ${symbols.length} symbols, ${2 * units} numbers of state. The network in this page replays the golden answers of its ` +
    `model file: off by ${off.toExponential(1)}, allowed ${tolerance.toExponential(0)} `,
);
make("b", off <= tolerance ? "✓" : "✗ do not trust this page", element("proof"), off <= tolerance ? "good" : "bad");

// ---- 2 the state

const pair = [[first, second], [second, first]].map(lay);
const courses = pair.map((stream) => follow(stream));
for (const key of [H, C]) scale[key] = Math.max(...courses.flat().map((one) => Math.max(...one[key].map(Math.abs))), 1e-9);
const names = ["Stream A", "Stream B"];
const draws = pair.map((stream, i) => panel(element("streams"), `${names[i]} begins with ${stream[0].symbol}`, stream));
const equal = pair[0].map(({symbol}, at) => ({symbol: symbol === pair[1][at].symbol ? symbol : "≠"}));
const drawDifference = panel(element("streams"), "A − B: where the memory is", equal, {tell: false});
let shown = fork + 1, timer = null;

function drawStreams() {
    const columns = courses.map((course) => course.slice(0, shown)), minus = (a, b) => a.map((value, i) => value - b[i]);
    draws.forEach((draw, i) => draw(columns[i]));
    drawDifference(columns[0].map((one, at) => ({[H]: minus(one[H], columns[1][at][H]), [C]: minus(one[C], columns[1][at][C])})));
    element("back").disabled = shown === 0;
    element("next").disabled = shown === pair[0].length;
    const say = (one) => `${one.best} (${percent(one.probability)}${one.wanted === null ? "" : isWrong(one) ? ", wrong" : ", right"})`;
    const [a, b] = columns.map((each) => each.at(-1));
    element("said").textContent = !a ? "Nothing is read yet: the state is zeros." :
        `Step ${shown} of ${pair[0].length}. ` + (a.symbol === b.symbol ? `Both have read ${a.symbol}. ` : `A has read ${a.symbol}, B ${b.symbol}. `) +
        (a.wanted === null ? "A sequence is over: any may begin." : `Next, A expects ${say(a)}, B ${say(b)}.`);
}
function moveTo(place) {
    shown = Math.max(0, Math.min(pair[0].length, place));
    drawStreams();
}
function stop() {
    clearInterval(timer);
    timer = null;
    element("play").textContent = "Play";
}
element("next").addEventListener("click", () => { stop(); moveTo(shown + 1); });
element("back").addEventListener("click", () => { stop(); moveTo(shown - 1); });
element("anew").addEventListener("click", () => { stop(); moveTo(0); });
element("play").addEventListener("click", () => {
    if (timer !== null) return stop();
    if (shown === pair[0].length) moveTo(0);
    element("play").textContent = "Pause";
    timer = setInterval(() => { moveTo(shown + 1); if (shown === pair[0].length) stop(); }, 800);
});
document.addEventListener("keydown", (event) => {
    const place = {ArrowRight: shown + 1, ArrowLeft: shown - 1}[event.key];
    if (place === undefined || event.ctrlKey || event.altKey || event.metaKey || event.shiftKey) return;
    if (event.target.closest?.("input, .scroll")) return;
    event.preventDefault();
    stop();
    moveTo(place);
});

// ---- 3 the swap

const ROUNDS = 100;
const rounds = [];
for (let i = 0, seed = 1; i < ROUNDS; i++) {
    seed = (1103515245 * seed + 12345) % 2147483648; // the same order at every visit
    rounds.push(seed > 1073741824 ? second : first);
}
const long = lay(rounds);
const wrongRounds = (course) => rounds.map((_, n) => course.slice(n * length, (n + 1) * length).some(isWrong));
const count = (found) => found.filter(Boolean).length;
// The mean probability of the right symbol where memory decides.
function confidence(course) {
    const asked = course.filter((one) => one.at === fork);
    return asked.reduce((sum, one) => sum + one.answer[labels.indexOf(one.wanted)], 0) / asked.length;
}
const right = follow(long), ways = [];
for (let bits = 1; bits < 2 ** length; bits++) {
    const swaps = new Set(first.map((_, at) => at).filter((at) => bits >> at & 1));
    const course = follow(long, undefined, swaps);
    ways.push({swaps, wrong: count(wrongRounds(course)), sure: confidence(course)});
}
const worst = ways.reduce((best, way) => way.wrong > best.wrong || (way.wrong === best.wrong && way.sure < best.sure) ? way : best);
const harmful = ways.filter((way) => way.wrong > 0).length;
element("swap-about").textContent =
    `${ROUNDS} sequences in random order, one stream. There are ${ways.length} ways to choose. ${harmful} of them cost right ` +
    `answers here, ${ways.length - harmful} do not, because h and c have the same signs. Chosen at first is the way that costs ` +
    "most. Such a mistake can go unnoticed for long. That is why stepcell compares every file with Keras, step by step.";
const boxes = first.map((symbol, at) => {
    const label = make("label", "", element("places"), "place"), box = make("input", "", label);
    Object.assign(box, {type: "checkbox", checked: worst.swaps.has(at)});
    const both = symbol === second[at] ? symbol : `${symbol} or ${second[at]}`;
    make("span", at === 0 ? `${both}, the first` : at === length - 1 ? `${both}, the last` : both, label);
    box.addEventListener("change", drawSwapped);
    return box;
});

function drawSwapped() {
    const swaps = new Set(boxes.flatMap((box, at) => box.checked ? [at] : []));
    const crossed = follow(long, undefined, swaps), found = wrongRounds(crossed), bad = count(found);
    const begin = Math.max(0, found.indexOf(true) - 1) * length; // the first that goes wrong, and the one before
    element("swap-said").textContent = !swaps.size ? "Nothing is swapped." :
        (bad ? `Sequence ${found.indexOf(true) + 1} is the first with a wrong answer. ${bad} of ${ROUNDS} have one. ` : "Swapped, and every answer is still right. ") +
        `After ${first[fork]} the right symbol gets ${percent(confidence(crossed))} on average; not swapped, ${percent(confidence(right))}.`;
    const place = element("swapped");
    place.replaceChildren();
    for (const [title, course] of [["As it should be", right], ["h and c swapped", crossed]]) {
        const wrong = wrongRounds(course), part = course.slice(begin, begin + 2 * length);
        panel(place, `${title}: ${ROUNDS - count(wrong)} of ${ROUNDS} right`, part)(part);
        const dots = make("div", "", place.lastChild, "rounds");
        dots.setAttribute("role", "img");
        dots.setAttribute("aria-label", `${ROUNDS - count(wrong)} of ${ROUNDS} sequences without a wrong answer`);
        for (const each of wrong) make("i", "", dots, each ? "wrong" : "");
    }
}

// ---- 4 saved and restored

const toBytes = (state) => new Uint8Array([H, C].flatMap((key) => [...new Uint8Array(state[key].buffer.slice(0))]));
function fromBytes(bytes) {
    const state = initialState();
    [H, C].forEach((key, i) => state[key].set(new Float32Array(bytes.slice(4 * units * i, 4 * units * (i + 1)).buffer)));
    return state;
}
const hex = (bytes) => [...bytes].map((byte) => byte.toString(16).padStart(2, "0"));
const short = (bytes) => `${hex(bytes.slice(0, 12)).join(" ")} … ${hex(bytes.slice(-4)).join(" ")}`;
const before = lay([first]).slice(0, fork), elsewhere = lay([second]).slice(0, fork);
const after = [...lay([first]).slice(fork), ...lay([second, first])];
const moving = initialState();
follow(before, moving);
const saved = toBytes(moving), lasting = follow(after, copyState(moving));
follow(elsewhere, moving);
const moved = toBytes(moving), restored = fromBytes(saved), back = toBytes(restored);
const stray = follow(after.slice(0, 1), copyState(moving))[0], resumed = follow(after, restored);
const same = (a, b) => a.length === b.length && a.every((value, i) => Object.is(value, b[i]));
const text = (part) => part.map(({symbol}) => symbol).join(" ");
const stages = [
    ["Read", `The stream reads ${text(before)}.`, saved, null],
    ["Save", `h and c are written down: ${saved.length} bytes.`, saved, null],
    ["Move elsewhere", `The same stream reads ${text(elsewhere)}. Its state is another one now; on ${after[0].symbol} it would answer ${stray.best}.`, moved, null],
    ["Restore", "A new stream gets the bytes that were saved.", back, same(back, saved)],
    ["Go on", `It reads ${text(after)}, beside a stream that was never interrupted.`, null, null],
];
let stage = stages.length;

function drawStages() {
    element("stage").textContent = stage < stages.length ? `${stage + 1}. ${stages[stage][0]}` : "Do it again, one by one";
    element("stages").replaceChildren();
    stages.forEach(([title, about, bytes, isSame], at) => {
        const one = make("li", "", element("stages"), at < stage ? "" : "ahead");
        make("b", String(at + 1), one);
        const line = make("div", "", one);
        make("b", `${title}. `, line);
        line.append(about);
        if (at >= stage) return;
        if (bytes) make("code", `state ${short(bytes)}`, one, "hex");
        if (isSame !== null) make("span", isSame ? "✓ the same bytes" : "✗ other bytes", one, isSame ? "good" : "bad");
        if (at === stages.length - 1) drawResumed(one);
    });
}
function drawResumed(parent) {
    const table = make("table", "", make("div", "", parent, "scroll"));
    table.id = "answers";
    const rows = ["reads", "unbroken", "restored", "equal"];
    const head = make("tr", "", make("thead", "", table)), body = make("tbody", "", table);
    for (const each of rows) make("th", each, head).scope = "col";
    resumed.slice(0, 5).forEach((one, at) => {
        const row = make("tr", "", body), isSame = same(one.answer, lasting[at].answer);
        for (const each of [one.symbol, `${lasting[at].best} (${percent(lasting[at].probability)})`, `${one.best} (${percent(one.probability)})`]) make("td", each, row);
        make("td", isSame ? "✓" : "✗", row, isSame ? "good" : "bad");
    });
    const all = resumed.every((one, at) => same(one.answer, lasting[at].answer) && same(one[H], lasting[at][H]) && same(one[C], lasting[at][C]));
    make("p", all ? `✓ all ${resumed.length} answers and states are equal to the bit` : "✗ they differ", parent, all ? "good" : "bad").id = "resumed";
}
element("stage").addEventListener("click", () => {
    stage = stage < stages.length ? stage + 1 : 0;
    drawStages();
});

// ---- 5 the figures

function figure(title, value, about) {
    const one = make("div", "", element("figures"));
    make("dt", title, one);
    make("small", about, make("dd", value, one));
}
const most = (key) => Math.max(...run.files.map((each) => each[key])), number = (value) => value.toLocaleString("en");
const fastest = run.files.filter((each) => each.microseconds !== null).sort((a, b) => a.microseconds - b.microseconds)[0];
figure("training", `${run.seconds.toFixed(1)} s`, `${number(run.updates)} updates`);
figure("weights", number(run.parameters), "parameters");
if (run.files.length) {
    const sizes = new Map(run.files.map((each) => [each.file, each.bytes]));
    const [smallest, bytes] = [...sizes].sort((a, b) => a[1] - b[1])[0];
    figure("model file", `${(bytes / 1000).toFixed(1)} kB`, `${smallest}, the smallest of ${sizes.size}`);
}
figure("state", `${saved.length} bytes`, `h and c, ${units} numbers each`);
if (run.files.length) figure("from Keras at most", most("error").toExponential(1), `${number(most("steps"))} steps in a row, ${run.files.length} ways to run`);
if (fastest) figure("a step on this machine", `${fastest.microseconds.toFixed(1)} µs`, fastest.runtime);
{
    const state = initialState(), began = performance.now(), steps = 20000;
    for (let i = 0; i < steps; i++) step(state, i % symbols.length, {});
    figure("a step in your browser", `${(1000 * (performance.now() - began) / steps).toFixed(1)} µs`, "measured just now");
}

function drawCurve(parent) {
    const draw = (tag, given, text) => {
        const found = document.createElementNS("http://www.w3.org/2000/svg", tag);
        for (const [key, value] of Object.entries(given)) found.setAttribute(key, value);
        found.textContent = text ?? "";
        svg.append(found);
    };
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg"), wide = 480, tall = 254, left = 66, low = 205;
    svg.setAttribute("viewBox", `0 0 ${wide} ${tall}`);
    svg.setAttribute("role", "img");
    const [, best] = run.curve.at(-1);
    svg.setAttribute("aria-label", `Right answers over ${number(run.updates)} updates, ${percent(best)} at the end`);
    const floor = Math.min(0.5, ...run.curve.map((row) => row[1])), last = run.curve.at(-1)[0];
    const x = (update) => left + update / last * (wide - left - 30), y = (share) => low - (share - floor) / (1 - floor) * (low - 20);
    for (const share of [floor, (1 + floor) / 2, 1]) {
        draw("line", {x1: left, x2: wide - 10, y1: y(share), y2: y(share)});
        draw("text", {x: left - 8, y: y(share) + 4, "text-anchor": "end"}, `${Math.round(100 * share)} %`);
    }
    draw("path", {d: `M${run.curve.map(([update, share]) => `${x(update).toFixed(1)} ${y(share).toFixed(1)}`).join("L")}`});
    const every = Math.ceil(run.curve.length / 6);
    run.curve.forEach(([update, share], at) => {
        draw("circle", {cx: x(update), cy: y(share), r: 4});
        if ((run.curve.length - 1 - at) % every === 0) draw("text", {x: x(update), y: low + 22, "text-anchor": "middle"}, number(update));
    });
    draw("text", {x: (left + wide) / 2, y: low + 44, "text-anchor": "middle"}, "updates");
    make("h3", "Right answers while it learned", parent);
    parent.append(svg);
    make("p", `Surprise fell from ${run.curve[0][2].toFixed(3)} to ${run.curve.at(-1)[2].toFixed(3)} nats a symbol.`, parent, "quiet");
}
if (run.curve.length) drawCurve(element("curve"));
if (run.files.length) {
    const table = element("parity"), head = make("tr", "", make("thead", "", table)), body = make("tbody", "", table);
    for (const each of ["interpreter", "from Keras", "µs a step", "file", "steps"]) make("th", each, head).scope = "col";
    for (const each of run.files) {
        const row = make("tr", "", body), isGood = each.error <= each.allowed;
        make("td", each.runtime, row);
        make("td", `${each.error.toExponential(1)} ${isGood ? "✓" : "✗"}`, row, isGood ? "good" : "bad");
        for (const text of [each.microseconds?.toFixed(1) ?? "", each.file, number(each.steps)]) make("td", text, row);
    }
    element("parity-title").textContent = `Largest difference from Keras; allowed ${most("allowed").toExponential(0)}`;
}

function drawAll() {
    drawStreams();
    drawSwapped();
    drawStages();
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
drawAll();
}
