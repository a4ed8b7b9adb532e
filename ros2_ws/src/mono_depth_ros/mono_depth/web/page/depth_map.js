// Depth as a map of colours: reading it, painting it, and the legend.

const MM = { unknown: 0, beyond: 65535 }; // of depth in whole millimetres

/** Read a NumPy file in rows: 32-bit floats as they are, 16-bit millimetres as metres. */
export function readNpy(buffer) {
  const head = new DataView(buffer);
  const version = head.getUint8(6);
  const start = version === 1 ? 10 : 12;
  const length = version === 1 ? head.getUint16(8, true) : head.getUint32(8, true);
  const text = new TextDecoder("latin1").decode(new Uint8Array(buffer, start, length));
  const shape = text.match(/'shape': \((\d+), (\d+)\)/);
  const isMm = text.includes("'<u2'");
  if (!shape || !(isMm || text.includes("'<f4'")) || text.includes("'fortran_order': True")) {
    throw new Error("not a map that this page can read");
  }
  const [height, width] = [Number(shape[1]), Number(shape[2])];
  const Kind = isMm ? Uint16Array : Float32Array;
  const stored = new Kind(buffer, start + length, height * width);
  return { height, width, values: isMm ? Float32Array.from(stored, metresOf) : stored };
}

function metresOf(millimetres) {
  if (millimetres === MM.unknown) return NaN;
  return millimetres === MM.beyond ? Infinity : millimetres / 1000;
}

/** Which share of the colours a depth has: 0 = near, 1 = far. */
export class ColorScale {
  constructor(values, equalise) {
    const known = values.filter((value) => Number.isFinite(value) && value > 0).sort();
    this.isEmpty = known.length === 0;
    const at = (share) => known[Math.min(known.length - 1, Math.round(share * (known.length - 1)))];
    this.steps = equalise ? Float32Array.from({ length: 256 }, (_, i) => at(i / 255)) : null;
    let near = this.isEmpty ? 0.5 : at(0.02);
    let far = this.isEmpty ? 10 : at(0.98);
    const missing = Math.max(1, Math.sqrt((1.5 * near) / far)); // one wall is not all colours
    this.near = near / missing;
    this.far = far * missing;
  }

  shareOf(depth) {
    if (!this.steps) {
      const share = Math.log(depth / this.near) / Math.log(this.far / this.near);
      return Math.min(1, Math.max(0, share));
    }
    let low = 0;
    let high = this.steps.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.steps[middle] < depth) low = middle + 1;
      else high = middle;
    }
    return Math.min(1, low / 255);
  }

  depthAt(share) {
    if (this.steps) return this.steps[Math.round(share * 255)];
    return this.near * Math.pow(this.far / this.near, share);
  }
}

/** Paint a map; table holds 256 colours: 0 = no depth, 1 = far, 255 = near. */
export function paint(map, scale, table) {
  const canvas = new OffscreenCanvas(map.width, map.height);
  const pixels = new ImageData(map.width, map.height);
  const bytes = pixels.data;
  for (let i = 0; i < map.values.length; i++) {
    const depth = map.values[i];
    const level = depth > 0 ? 255 - Math.round(254 * scale.shareOf(depth)) : 0;
    const color = table[level];
    bytes[4 * i] = color[0];
    bytes[4 * i + 1] = color[1];
    bytes[4 * i + 2] = color[2];
    bytes[4 * i + 3] = 255;
  }
  canvas.getContext("2d").putImageData(pixels, 0, 0);
  return canvas;
}

/** Draw the legend: near at the top. */
export function drawLegend(canvas, scale, table, unit, height) {
  const ratio = window.devicePixelRatio || 1;
  const width = canvas.clientWidth;
  canvas.width = width * ratio;
  canvas.height = height * ratio;
  canvas.style.height = `${height}px`;
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  const [top, bottom, bar] = [unit ? 26 : 10, height - 10, 14]; // the unit stands above
  for (let y = top; y < bottom; y++) {
    const level = 255 - Math.round((254 * (y - top)) / (bottom - top - 1));
    context.fillStyle = `rgb(${table[level].join(",")})`;
    context.fillRect(0, y, bar, 1);
  }
  context.fillStyle = getComputedStyle(document.body).color;
  context.font = "12px system-ui, sans-serif";
  context.textBaseline = "middle";
  const count = Math.max(2, Math.min(8, Math.floor(height / 45)));
  for (let i = 0; i <= count; i++) {
    const share = i / count;
    const y = top + share * (bottom - top);
    context.fillRect(bar, y - 0.5, 4, 1);
    context.fillText(asText(scale.depthAt(share)), bar + 7, y);
  }
  context.fillText(unit, bar + 7, 9);
}

/** Three digits, as people write them. */
export function asText(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (!Number.isFinite(value)) return "beyond";
  return Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(3);
}

/** Bytes, as people write them. */
export function asBytes(count) {
  if (count < 1e3) return `${count} B`;
  const step = count >= 1e9 ? [1e9, "GB"] : count >= 1e6 ? [1e6, "MB"] : [1e3, "kB"];
  return `${(count / step[0]).toPrecision(3)} ${step[1]}`;
}
