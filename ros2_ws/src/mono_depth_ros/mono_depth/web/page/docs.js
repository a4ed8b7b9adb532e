// Shows the OpenAPI document, without a script from elsewhere.

function made(tag, text, ...children) {
  const element = document.createElement(tag);
  if (text) element.textContent = text;
  element.append(...children);
  return element;
}

function table(headings, rows) {
  const element = made("table");
  const head = element.createTHead().insertRow();
  headings.forEach((text) => head.append(made("th", text)));
  const body = element.createTBody();
  for (const cells of rows) {
    const row = body.insertRow();
    cells.forEach((text) => row.append(made("td", text)));
  }
  return element;
}

function typeOf(schema = {}) {
  if (schema.enum) return schema.enum.join(" | ");
  const kind = schema.format === "binary" ? "file" : schema.type || "";
  if (schema.minimum === undefined) return kind;
  return `${kind}, ${schema.minimum} to ${schema.maximum}`;
}

function operation(path, method, details) {
  const summary = made("summary", "", made("span", method.toUpperCase()), ` ${path} `);
  summary.firstChild.className = "method";
  summary.append(made("small", details.summary || ""));
  const body = made("div");
  if (details.description) body.append(made("p", details.description));
  const form = details.requestBody?.content?.["multipart/form-data"]?.schema?.properties;
  const inputs = form
    ? Object.entries(form).map(([name, schema]) => [name, "form", typeOf(schema), schema.description || ""])
    : (details.parameters || []).map((item) => [item.name, item.in, typeOf(item.schema), item.description || ""]);
  if (inputs.length) body.append(made("h3", "Takes"), table(["name", "in", "type", "what"], inputs));
  const media = Object.keys(details.requestBody?.content || {});
  if (media.length) body.append(made("p", `Body: ${media.join(", ")}; of raw images the rest is in the query.`));
  const answers = Object.entries(details.responses || {}).map(([status, answer]) => [
    status,
    answer.description || "",
    Object.keys(answer.content || {}).join(", "),
  ]);
  body.append(made("h3", "Answers"), table(["status", "what", "type"], answers));
  const element = made("details", "", summary, body);
  element.className = "operation";
  return element;
}

const described = await (await fetch("/openapi.json")).json();
document.getElementById("about").textContent = described.info.description;
document.querySelectorAll("#origin, .origin").forEach((item) => (item.textContent = location.origin));
for (const [path, methods] of Object.entries(described.paths)) {
  for (const [method, details] of Object.entries(methods)) {
    document.getElementById("operations").append(operation(path, method, details));
  }
}
