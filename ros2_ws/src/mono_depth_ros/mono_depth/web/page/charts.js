// Histogram and cloud, by plotly, whose script comes from its Python package.

let loading = null;

function plotly() {
  loading ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = "/page/plotly.min.js";
    script.onload = () => resolve(window.Plotly);
    script.onerror = () => reject(new Error("plotly's script did not load"));
    document.head.append(script);
  });
  return loading;
}

const MOST_POINTS = 30000;
const SETTINGS = { responsive: true, displaylogo: false, showTips: false };

function look() {
  const style = getComputedStyle(document.documentElement);
  const body = getComputedStyle(document.body);
  return {
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { color: body.color, family: "system-ui, sans-serif", size: 12 },
    accent: style.getPropertyValue("--bar") || "#8a5cd6",
  };
}

export async function drawHistogram(element, histogram, unit) {
  const Plotly = await plotly();
  if (!histogram) {
    Plotly.purge(element);
    return;
  }
  const { accent, ...colors } = look();
  const { edges, counts } = histogram;
  const total = counts.reduce((sum, count) => sum + count, 0);
  const bars = {
    type: "bar",
    x: counts.map((_, i) => (edges[i] + edges[i + 1]) / 2),
    y: counts.map((count) => (100 * count) / total),
    width: counts.map((_, i) => edges[i + 1] - edges[i]),
    marker: { color: accent },
    hovertemplate: `%{x:.3g} ${unit}: %{y:.2f} %<extra></extra>`,
  };
  const layout = {
    ...colors,
    margin: { l: 48, r: 10, t: 8, b: 40 },
    xaxis: { title: { text: unit ? `depth [${unit}]` : "depth, no unit" } },
    yaxis: { title: { text: "pixels [%]" } },
    dragmode: false,
  };
  await Plotly.react(element, [bars], layout, { ...SETTINGS, displayModeBar: false });
}

/** Points of a map: x right, y ahead, z up, in metres; far sides of jumps are left out. */
export function pointsOf(map, camera, image, maxJump) {
  const step = Math.max(1, Math.ceil(Math.sqrt((map.width * map.height) / MOST_POINTS)));
  const canvas = new OffscreenCanvas(map.width, map.height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0, map.width, map.height);
  const colors = context.getImageData(0, 0, map.width, map.height).data;
  const points = { x: [], y: [], z: [], color: [] };
  const { values, width, height } = map;
  const isFar = (depth, other) => maxJump > 0 && depth > other * (1 + maxJump);
  for (let row = 0; row < height; row += step) {
    for (let column = 0; column < width; column += step) {
      const at = row * width + column;
      const depth = values[at];
      if (!(Number.isFinite(depth) && depth > 0)) continue;
      if (
        (column > 0 && isFar(depth, values[at - 1])) ||
        (column + 1 < width && isFar(depth, values[at + 1])) ||
        (row > 0 && isFar(depth, values[at - width])) ||
        (row + 1 < height && isFar(depth, values[at + width]))
      ) continue;
      const u = ((column + 0.5) * camera.width) / width - 0.5;
      const v = ((row + 0.5) * camera.height) / height - 0.5;
      points.x.push(((u - camera.cx) / camera.fx) * depth);
      points.y.push(depth);
      points.z.push((-(v - camera.cy) / camera.fy) * depth);
      points.color.push(`rgb(${colors[4 * at]},${colors[4 * at + 1]},${colors[4 * at + 2]})`);
    }
  }
  return points;
}

export async function drawCloud(element, points) {
  const Plotly = await plotly();
  const { accent, ...colors } = look();
  const cloud = {
    type: "scatter3d",
    mode: "markers",
    x: points.x,
    y: points.y,
    z: points.z,
    marker: { size: 2, color: points.color, opacity: 1 },
    hovertemplate: "right %{x:.2f} m<br>ahead %{y:.2f} m<br>up %{z:.2f} m<extra></extra>",
  };
  const axis = { gridcolor: "rgba(128,128,128,.3)", zeroline: false, showspikes: false };
  const layout = {
    ...colors,
    margin: { l: 0, r: 0, t: 0, b: 0 },
    scene: {
      aspectmode: "data",
      xaxis: { ...axis, title: { text: "right [m]" } },
      yaxis: { ...axis, title: { text: "ahead [m]" } },
      zaxis: { ...axis, title: { text: "up [m]" } },
      camera: { eye: { x: 0.35, y: -1.7, z: 0.55 }, center: { x: 0, y: 0, z: -0.1 } },
    },
  };
  await Plotly.react(element, [cloud], layout, SETTINGS);
}
