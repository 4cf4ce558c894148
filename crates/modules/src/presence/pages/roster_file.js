// A roster in a file: what `rollcall roster import` takes, too.

const KEYS = ["clientid", "tags", "keepalive", "maintenance_until"];

const bytes = (text) => new TextEncoder().encode(text).length;

// Throws what is wrong.
function checked(clientid, tags, keepalive, until) {
  if (typeof clientid !== "string" || clientid === "" || bytes(clientid) > 4096) throw new Error("clientid: wants 1 to 4096 bytes");
  const own = [...new Set(tags)];
  for (const tag of own) {
    if (typeof tag !== "string" || tag === "" || [...tag].length > 64 || /[/+#,;\u0000-\u001f\u007f-\u009f]/.test(tag)) throw new Error(`tags: ${JSON.stringify(tag)} is no tag: 1 to 64 characters, without /, +, #, commas and semicolons`);
  }
  if (own.length > 16) throw new Error("tags: wants 16 at the most");
  if (keepalive !== null && !(Number.isInteger(keepalive) && keepalive >= 0 && keepalive <= 65535)) throw new Error("keepalive: wants 0 to 65535 seconds");
  return { clientid, tags: own, keepalive, maintenance_until: until };
}

// Milliseconds since the Unix epoch.
function time(said) {
  if (said === null || said === undefined || said === "") return null;
  const ms = typeof said === "number" ? said : /^\d+$/.test(said) ? Number(said) : /^\d{4}-\d\d-\d\d/.test(said) ? Date.parse(said.trim().replace(" ", "T")) : NaN;
  if (!Number.isSafeInteger(ms) || ms < 0) throw new Error(`maintenance_until: ${JSON.stringify(said)} is no time such as 2026-01-31T08:00:00Z`);
  return ms;
}

// Rows of a table, each with the line that it begins in. A quoted field may have commas, line ends and doubled quotes.
function* rows(text) {
  let [row, field, isQuoted, line, began] = [[], "", false, 1, 1];
  const end = () => {
    row.push(field.trim());
    field = "";
  };
  for (let at = 0; at < text.length; at += 1) {
    const char = text[at];
    if (char === "\n") line += 1;
    if (isQuoted) {
      if (char !== '"') field += char;
      else if (text[at + 1] === '"') field += text[(at += 1)];
      else isQuoted = false;
    } else if (char === '"' && field.trim() === "") {
      [isQuoted, field] = [true, ""];
    } else if (char === ",") {
      end();
    } else if (char === "\n") {
      end();
      if (row.length > 1 || row[0] !== "") yield { row, at: began };
      [row, began] = [[], line];
    } else if (char !== "\r") {
      field += char;
    }
  }
  if (isQuoted) throw new Error(`line ${began}: a quote has no end`);
  end();
  if (row.length > 1 || row[0] !== "") yield { row, at: began };
}

function ofTable(text) {
  const [members, errors] = [[], []];
  let names = null;
  for (const { row, at } of rows(text)) {
    if (names === null) {
      const odd = row.find((name) => !KEYS.includes(name));
      if (odd !== undefined || !row.includes("clientid")) return { members, errors: [{ at: "line 1", why: odd === undefined ? "there is no column clientid" : `${JSON.stringify(odd)} is none of ${KEYS.join(", ")}` }] };
      names = row;
      continue;
    }
    try {
      if (row.length !== names.length) throw new Error(`${row.length} fields, and ${names.length} columns`);
      const said = Object.fromEntries(names.map((name, index) => [name, row[index]]));
      const tags = (said.tags ?? "").split(";").map((tag) => tag.trim()).filter((tag) => tag !== "");
      const keepalive = (said.keepalive ?? "") === "" ? null : /^\d+$/.test(said.keepalive) ? Number(said.keepalive) : NaN;
      members.push(checked(said.clientid, tags, keepalive, time(said.maintenance_until)));
    } catch (error) {
      errors.push({ at: `line ${at}`, why: error.message });
    }
  }
  if (names === null) errors.push({ at: "line 1", why: "there is no column clientid" });
  return { members, errors };
}

function ofObjects(text) {
  const list = JSON.parse(text);
  if (!Array.isArray(list)) throw new Error("wants a list of objects");
  const [members, errors] = [[], []];
  for (const [index, said] of list.entries()) {
    try {
      if (typeof said !== "object" || said === null || Array.isArray(said)) throw new Error("is no object");
      const odd = Object.keys(said).find((name) => !KEYS.includes(name));
      if (odd !== undefined) throw new Error(`${JSON.stringify(odd)} is none of ${KEYS.join(", ")}`);
      if (said.tags !== undefined && !Array.isArray(said.tags)) throw new Error("tags: wants a list");
      members.push(checked(said.clientid, said.tags ?? [], said.keepalive ?? null, time(said.maintenance_until)));
    } catch (error) {
      errors.push({ at: `entry ${index + 1}`, why: error.message });
    }
  }
  return { members, errors };
}

// What is in a file, `{members, errors}`; an error has its place and says why.
export function read(name, said) {
  // Spreadsheets write a mark before the first byte.
  const text = said.replace(/^\ufeff/, "");
  try {
    const found = /\.json$/i.test(name) ? ofObjects(text) : ofTable(text);
    const seen = new Set();
    for (const { clientid } of found.members) {
      if (seen.has(clientid)) found.errors.push({ at: name, why: `${JSON.stringify(clientid)} is there twice` });
      seen.add(clientid);
    }
    return found;
  } catch (error) {
    return { members: [], errors: [{ at: name, why: error.message }] };
  }
}

const cell = (text) => (/[",\r\n]|^\s|\s$/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
const stamp = (ms) => (ms === undefined || ms === null ? "" : ms > 8.64e15 ? String(ms) : new Date(ms).toISOString());

// The table of a roster.
export function table(members) {
  const line = ({ clientid, tags, keepalive, maintenance_until: until }) => [clientid, tags.join(";"), keepalive ?? "", stamp(until)].map((text) => cell(String(text))).join(",");
  return `${[KEYS.join(","), ...members.map(line)].join("\n")}\n`;
}
