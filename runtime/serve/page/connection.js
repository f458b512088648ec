// What the page asks the server, and the events that come from it. Text alone passes: nothing here is markup.

const KEY = "stepcell-token";
const SILENCE = 40_000; // milliseconds: the server gives a sign of life every 15 s
let token = sessionStorage.getItem(KEY) ?? "";

export class TokenWanted extends Error {}

export function setToken(text) {
    token = text.trim();
    sessionStorage.setItem(KEY, token);
}

async function ask(path, headers = {}, signal = undefined) {
    if (token) headers.authorization = `Bearer ${token}`;
    const response = await fetch(path, { headers, signal, cache: "no-store" });
    if (response.status === 401) throw new TokenWanted();
    return response;
}

/** Return the JSON at a path; null where there is nothing. */
export async function get(path) {
    const response = await ask(path, {}, AbortSignal.timeout(8000));
    if (response.status === 404) return null;
    if (!response.ok) throw new Error(`${path}: ${response.status}`);
    return response.json();
}

export const streamPath = (name) => `v1/streams/${encodeURIComponent(name)}`;

/** Give each answer to `take`, for ever; say in `tell` whether there is a connection ("live", "lost"). */
export async function follow(last, take, tell) {
    let lastId = "", pause = 250;
    for (;;) {
        const ending = new AbortController();
        let alarm = setTimeout(() => ending.abort(), SILENCE);
        try {
            const headers = lastId ? { "last-event-id": lastId } : {};
            const response = await ask(`v1/answers?newest&last=${last}`, headers, ending.signal);
            if (!response.ok) throw new Error(String(response.status));
            await tell("live");
            pause = 250;
            const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
            let text = "";
            for (;;) {
                const { value, done } = await reader.read();
                if (done) break;
                clearTimeout(alarm);
                alarm = setTimeout(() => ending.abort(), SILENCE);
                text += value;
                const events = text.split("\n\n");
                text = events.pop();
                for (const event of events) {
                    const fields = Object.fromEntries(event.split("\n").map((line) => {
                        const colon = line.indexOf(": ");
                        return [line.slice(0, colon), line.slice(colon + 2)];
                    }));
                    if (fields.id) lastId = fields.id;
                    if (fields.data && !fields.event) take(JSON.parse(fields.data));
                }
            }
        } catch (error) {
            if (error instanceof TokenWanted) throw error;
        }
        clearTimeout(alarm);
        await tell("lost");
        await new Promise((resolve) => setTimeout(resolve, pause));
        pause = Math.min(pause * 2, 3000);
    }
}
