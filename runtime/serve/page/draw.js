// The drawings of the page: surprise over time, and the state as a strip of colours.

const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

const rgb = (name) => {
    const hex = style(name).slice(1);
    const full = hex.length === 3 ? [...hex].map((digit) => digit + digit).join("") : hex;
    return [0, 2, 4].map((begin) => parseInt(full.slice(begin, begin + 2), 16));
};

/** Make a canvas as sharp as the screen; return its context, and its size in CSS pixels. */
function prepared(canvas) {
    const { width, height } = canvas.getBoundingClientRect(), scale = devicePixelRatio || 1;
    const [wide, high] = [Math.round(width * scale), Math.round(height * scale)];
    if (canvas.width !== wide || canvas.height !== high) [canvas.width, canvas.height] = [wide, high];
    const context = canvas.getContext("2d");
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, width, height);
    return [context, width, height];
}

/** Draw a bar for each symbol, those above the threshold in another colour. */
export function drawSurprise(canvas, points, threshold) {
    const [context, width, height] = prepared(canvas);
    if (!width) return;
    const left = 30, bottom = height - 6, top = 10, pitch = 6;
    const shown = points.slice(-Math.max(1, Math.floor((width - left) / pitch)));
    const most = Math.max(4, threshold ? threshold * 1.25 : 0, ...shown.map((each) => each.surprise ?? 0));
    const y = (bits) => bottom - (bits / most) * (bottom - top);
    context.font = `11px ${getComputedStyle(document.body).fontFamily}`;
    context.textBaseline = "middle";
    const tick = [1, 2, 5, 10, 20].find((size) => most / size <= 5) ?? 50;
    for (let bits = 0; bits <= most; bits += tick) {
        context.fillStyle = style("--line");
        context.fillRect(left, Math.round(y(bits)), width - left, 1);
        context.fillStyle = style("--quiet");
        context.textAlign = "right";
        context.fillText(String(bits), left - 6, y(bits));
    }
    const begin = width - shown.length * pitch;
    shown.forEach((each, index) => {
        if (each.surprise == null) return;
        context.fillStyle = style(each.alert ? "--high" : "--bar");
        const from = Math.min(y(each.surprise), bottom - 1.5);
        context.fillRect(begin + index * pitch, from, pitch - 2, bottom - from);
    });
    if (!threshold) return;
    context.strokeStyle = style("--high");
    context.setLineDash([5, 4]);
    context.beginPath();
    context.moveTo(left, y(threshold));
    context.lineTo(width, y(threshold));
    context.stroke();
    context.setLineDash([]);
}

/** Draw columns of numbers: low-end colour below 0, high-end colour above, by the largest of all. */
export function drawState(canvas, columns, room) {
    const rows = columns.at(-1)?.length ?? 0;
    if (!rows) return;
    canvas.width = room;
    canvas.height = rows;
    const context = canvas.getContext("2d"), image = context.createImageData(room, rows);
    const ends = [rgb("--low-end"), rgb("--middle"), rgb("--high-end")];
    let most = 1e-9;
    for (const column of columns) for (const value of column) most = Math.max(most, Math.abs(value));
    columns.forEach((column, index) => {
        const x = room - columns.length + index;
        column.forEach((value, row) => {
            const share = Math.sqrt(Math.min(1, Math.abs(value) / most)), end = ends[value < 0 ? 0 : 2];
            const place = 4 * (row * room + x);
            for (let part = 0; part < 3; part++) {
                image.data[place + part] = ends[1][part] + share * (end[part] - ends[1][part]);
            }
            image.data[place + 3] = 255;
        });
    });
    context.putImageData(image, 0, 0);
}
