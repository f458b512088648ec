// The page: streams, their last symbols and answers, surprise over time, the state. Every text is set by textContent.
import { TokenWanted, follow, get, setToken, streamPath } from "./connection.js";
import { drawState, drawSurprise } from "./draw.js";

const KEPT = 240, SHOWN = 60, LISTED = 100, LAST = 12, BARS = 6, HISTORY = 1000;
const LOOK = 150; // milliseconds between two looks at the state of the stream that is shown
const element = (id) => document.getElementById(id);
const number = new Intl.NumberFormat("en");
const streams = new Map(); // name -> {name, seq, points, rows}; a point: {input, surprise, alert, error}
let selected = null, threshold = null, looking = false, lookAgain = false, dirty = true, lastLook = 0;
let before = null; // status at the last look, for rates

const made = (tag, text, parent, kind) => {
    const found = document.createElement(tag);
    found.textContent = text;
    if (kind) found.className = kind;
    parent?.append(found);
    return found;
};

/** Show spaces and line ends as signs. */
const shown = (text) => text === "" ? "(empty)" : String(text).replaceAll("\n", "⏎").replaceAll("\t", "⇥").replace(/^ +$/, (spaces) => "␣".repeat(spaces.length));
const titled = (name) => name === "" ? "(no name)" : name;
const percent = (share) => share > 0 && share < 0.0001 ? "< 0.01 %" : `${(100 * share).toFixed(share < 0.0995 ? 2 : 1)} %`;

function known(name) {
    if (!streams.has(name)) streams.set(name, { name, seq: null, points: [], answer: null, tensors: new Map(), touched: 0 });
    return streams.get(name);
}

function take(answer) {
    if (typeof answer.stream !== "string") return; // an error about a record without a stream
    const stream = known(answer.stream);
    if (Number.isInteger(answer.seq)) stream.seq = answer.seq;
    stream.touched = performance.now();
    const alert = Boolean(answer.alert || answer.alarm);
    if (answer.reset) stream.points.push({ input: "reset", mark: true });
    else if ("error" in answer) stream.points.push({ input: answer.code ?? "error", error: answer.error });
    else {
        stream.points.push({ input: answer.input ?? "", surprise: answer.surprise, alert });
        stream.answer = answer;
    }
    if (stream.points.length > KEPT) stream.points.splice(0, stream.points.length - KEPT);
    if (alert) announce(`Unusual in ${titled(stream.name)}: ${shown(answer.input)}`);
    if (selected === null) select(stream.name);
    else if (selected === stream.name) look();
    dirty = true;
}

let announced = 0;
function announce(text) { // a screen reader must not be flooded
    if (performance.now() - announced < 5000) return;
    announced = performance.now();
    element("news").textContent = text;
}

let atEnd = true; // the newest symbol stays in view, unless one has scrolled back to others

function select(name) {
    selected = name;
    atEnd = true;
    known(name);
    element("stream").hidden = false;
    dirty = true;
    look();
}

/** Ask for the state of the stream that is shown: one question at a time, not more often than every LOOK ms. */
async function look() {
    if (looking) {
        lookAgain = true;
        return;
    }
    looking = true;
    const name = selected, wait = LOOK - (performance.now() - lastLook);
    if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
    lastLook = performance.now();
    try {
        const found = await get(streamPath(name));
        if (found) keepState(known(name), found);
        else if (!known(name).points.length) {
            streams.delete(name);
            element("stream-about").textContent = "There is no such stream.";
        }
    } catch { /* the connection says so */ }
    looking = false;
    dirty = true;
    if (lookAgain || selected !== name) {
        lookAgain = false;
        look();
    }
}

function keepState(stream, found) {
    if (Number.isInteger(found.seq)) stream.seq = found.seq;
    stream.seen = found.symbols_seen;
    stream.next = found.next ?? null;
    if (found.answer && !stream.answer) {
        const answer = typeof found.answer === "string" ? JSON.parse(found.answer) : found.answer;
        stream.answer = answer;
        if (!stream.points.length && "input" in answer) {
            stream.points.push({ input: answer.input, surprise: answer.surprise, alert: Boolean(answer.alert || answer.alarm) });
        }
    }
    for (const [tensor, values] of Object.entries(found.state ?? {})) {
        const column = values.flat(Infinity), columns = stream.tensors.get(tensor) ?? [];
        if (stream.looked === found.symbols_seen && columns.length) columns[columns.length - 1] = column;
        else columns.push(column);
        if (columns.length > KEPT) columns.shift();
        stream.tensors.set(tensor, columns);
    }
    stream.looked = found.symbols_seen;
}

/** Make the children of `parent` one for each item, and keep those that are there: the focus stays where it is. */
function reconcile(parent, items, make, update) {
    while (parent.children.length > items.length) parent.lastElementChild.remove();
    items.forEach((item, index) => update(parent.children[index] ?? parent.appendChild(make()), item, index));
}

const put = (node, text) => { if (node.textContent !== text) node.textContent = text; };

function showStreams() {
    const wanted = element("find").value;
    let found = [...streams.values()].filter((each) => each.name.includes(wanted));
    const count = found.length;
    if (count > LISTED) found = found.sort((a, b) => b.touched - a.touched).slice(0, LISTED);
    found.sort((a, b) => a.name.localeCompare(b.name, "en", { numeric: true }));
    element("no-streams").hidden = streams.size > 0;
    const all = Math.max(before?.streams_known ?? 0, streams.size);
    put(element("stream-count"), all > found.length ? `${number.format(found.length)} of ${number.format(all)}` : String(found.length || ""));
    reconcile(element("streams"), found, () => {
        const item = made("li", "", null), button = made("button", "", item);
        button.type = "button";
        made("span", "", button, "name");
        made("span", "", button, "seq");
        made("bdi", "", made("span", "", button, "last"));
        return item;
    }, (item, stream) => {
        const button = item.firstChild, [name, seq, last] = button.children;
        button.stream = stream.name;
        put(name, titled(stream.name));
        put(seq, stream.seq === null ? "" : `#${number.format(stream.seq)}`);
        put(last.firstChild, stream.points.slice(-LAST).map((each) => shown(each.input)).join(" › ") || "–");
        button.classList.toggle("unusual", stream.points.slice(-LAST).some((each) => each.alert));
        if (stream.name !== selected) button.removeAttribute("aria-current");
        else if (!button.hasAttribute("aria-current")) {
            button.setAttribute("aria-current", "true");
            const list = item.parentElement, top = item.offsetTop;
            if (top < list.scrollTop || top + item.offsetHeight > list.scrollTop + list.clientHeight) list.scrollTop = top;
        }
    });
}

function showSymbols(stream) {
    const list = element("symbols");
    reconcile(list, stream.points.slice(-SHOWN), () => made("li", "", null), (item, point) => {
        put(item, shown(point.input));
        item.className = point.error ? "error" : point.alert ? "alert" : "";
        item.title = point.error ?? (point.surprise == null ? "" : `${point.surprise.toFixed(2)} bits${point.alert ? ", unusual" : ""}`);
    });
    if (atEnd) list.scrollLeft = list.scrollWidth;
    const problem = stream.points.at(-1)?.error;
    element("problem").hidden = !problem;
    put(element("problem"), problem ?? "");
}

function showNext(stream) {
    const answer = stream.answer, found = stream.next ?? answer?.top?.map((each) => [each.symbol ?? each[0], each.probability ?? each[1]]);
    const bars = found ?? (answer?.symbol == null ? [] : [[answer.symbol, answer.probability]]);
    reconcile(element("next"), bars.slice(0, BARS), () => {
        const item = made("li", "", null);
        made("span", "", item, "name");
        made("span", "", item, "share");
        made("i", "", made("div", "", item, "track"));
        return item;
    }, (item, [symbol, share]) => {
        put(item.children[0], shown(symbol));
        put(item.children[1], share == null ? "" : percent(share));
        item.children[2].firstChild.style.width = `${100 * (share ?? 0)}%`;
    });
    if (!bars.length) {
        const text = answer?.values ? `values ${answer.values.map((each) => Number(each).toPrecision(4)).join(", ")}` : "no answer yet";
        reconcile(element("next"), [text], () => made("li", "", null), (item) => item.replaceChildren(text));
    }
}

function showSurprise(stream) {
    const measured = stream.points.filter((each) => each.surprise != null), last = measured.at(-1);
    const has = measured.length > 0 || threshold !== null;
    element("surprise").hidden = !has;
    element("no-surprise").hidden = has;
    if (!has) return;
    drawSurprise(element("surprise"), stream.points, threshold);
    const unusual = measured.filter((each) => each.alert).length;
    const words = ["bits of each symbol", ...(last ? [`last ${last.surprise.toFixed(2)}`] : [])];
    put(element("surprise-about"), words.join(", "));
    element("threshold").hidden = threshold === null;
    put(element("threshold"), threshold === null ? "" : `threshold ${threshold.toFixed(2)}`);
    put(element("surprise-text"), last ? `Last ${last.surprise.toFixed(1)} bits. Of ${measured.length} symbols ${unusual} unusual.` : "None yet.");
}

function showState(stream) {
    const found = [...stream.tensors];
    reconcile(element("state"), found, () => {
        const item = made("div", "", null, "tensor"), label = made("span", "", item);
        made("b", "", label);
        made("small", "", label);
        made("canvas", "", item).setAttribute("role", "img");
        return item;
    }, (item, [tensor, columns]) => {
        const canvas = item.lastChild, rows = columns.at(-1).length;
        put(item.firstChild.firstChild, tensor);
        put(item.firstChild.lastChild, String(rows));
        canvas.setAttribute("aria-label", `State ${tensor}: ${rows} numbers over ${columns.length} steps`);
        canvas.style.height = `${Math.min(220, Math.max(16, rows * Math.min(8, Math.max(2, Math.ceil(120 / rows)))))}px`;
        drawState(canvas, columns, Math.max(30, Math.min(KEPT, Math.floor(canvas.clientWidth / 5))));
    });
}

function show() {
    if (dirty) {
        dirty = false;
        showStreams();
        const stream = streams.get(selected);
        if (stream) {
            put(element("stream-name"), titled(stream.name));
            const parts = [stream.seq === null ? "" : `seq ${number.format(stream.seq)}`, stream.seen == null ? "" : `${number.format(stream.seen)} symbols seen`];
            put(element("stream-about"), parts.filter(Boolean).join(" · "));
            showSymbols(stream);
            showNext(stream);
            showSurprise(stream);
            showState(stream);
        }
    }
    setTimeout(() => requestAnimationFrame(show), 60);
}

function showCounters(status) {
    const now = performance.now(), rate = before && now > before.at ? 1000 * (status.steps - before.steps) / (now - before.at) : null;
    const ago = status.last_commit_age == null ? "–" : status.last_commit_age < 100 ? `${status.last_commit_age.toFixed(status.last_commit_age < 10 ? 1 : 0)}` : number.format(Math.round(status.last_commit_age / 60));
    const unit = status.last_commit_age >= 100 ? "min ago" : status.last_commit_age == null ? "" : "s ago";
    const counters = [
        ["Steps", number.format(status.steps), ""],
        ["Per second", rate === null || rate < 0 ? "–" : number.format(rate < 10 ? Math.round(rate * 10) / 10 : Math.round(rate)), ""],
        ["Unusual", number.format(status.alerts ?? 0), "", (status.alerts ?? 0) > 0],
        ["Errors", number.format(status.errors ?? 0), "", (status.errors ?? 0) > 0],
        ["Undelivered", number.format(status.undelivered ?? 0), ""],
        ["Commit", ago, unit],
    ];
    reconcile(element("counters"), counters, () => {
        const item = made("div", "", null);
        made("dt", "", item);
        made("span", "", made("dd", "", item));
        made("small", "", item.lastChild);
        return item;
    }, (item, [name, value, rest, warn]) => {
        put(item.firstChild, name);
        put(item.lastChild.firstChild, value);
        put(item.lastChild.lastChild, rest ? ` ${rest}` : "");
        item.className = warn ? "warn" : "";
    });
    before = { ...status, at: now };
    threshold = status.threshold ?? null;
    put(element("model"), status.model ?? "");
    element("about").replaceChildren("fingerprint ", made("span", String(status.fingerprint ?? "").slice(0, 12), null), status.ready ? "" : ` · not ready: ${status.reason}`);
    dirty = true;
}

async function refresh() {
    const [status, list] = await Promise.all([get("v1/status"), get(`v1/streams?limit=${LISTED}`)]);
    if (status) showCounters(status);
    for (const each of list?.streams ?? []) {
        const stream = known(each.stream);
        if (stream.seq === null && Number.isInteger(each.seq)) stream.seq = each.seq;
    }
    if (selected === null && streams.size) select(streams.keys().next().value);
    if (selected !== null) look();
}

async function tell(state) {
    element("connection").dataset.state = state;
    put(element("connection-text"), state === "live" ? "live" : "no connection, trying again");
    if (state === "live") await refresh();
}

function begin() {
    element("token-form").hidden = true;
    element("content").hidden = false;
    follow(HISTORY, take, tell).catch((error) => {
        if (!(error instanceof TokenWanted)) throw error;
        put(element("connection-text"), "token wanted");
        element("content").hidden = true;
        element("token-form").hidden = false;
        element("token").focus();
    });
}

element("token-form").addEventListener("submit", (event) => {
    event.preventDefault();
    setToken(element("token").value);
    put(element("token-problem"), "");
    begin();
});
element("symbols").addEventListener("scroll", ({ target }) => {
    atEnd = target.scrollLeft + target.clientWidth > target.scrollWidth - 40;
});
element("streams").addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button) select(button.stream);
});
element("streams").addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key], buttons = [...element("streams").querySelectorAll("button")];
    if (!step) return;
    event.preventDefault();
    const next = buttons[buttons.indexOf(document.activeElement) + step];
    next?.focus();
    if (next) select(next.stream);
});
element("find").addEventListener("input", () => { dirty = true; });
element("find").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && event.target.value) select(event.target.value);
    if (event.key === "ArrowDown") element("streams").querySelector("button")?.focus();
});
new ResizeObserver(() => { dirty = true; }).observe(document.body);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { dirty = true; });
put(element("example"), `curl -X POST ${location.origin}/v1/streams/press/step -d '{"seq": 1, "symbol": "..."}'`);
setInterval(() => {
    if (element("connection").dataset.state === "live" && !document.hidden) get("v1/status").then((status) => status && showCounters(status)).catch(() => {});
}, 2000);
begin();
show();
