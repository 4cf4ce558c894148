// Payloads as people read them.

export const FORMS = {
  Text: (payload) => new TextDecoder().decode(payload),
  JSON: (payload) => JSON.stringify(JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(payload)), null, 2),
  Hex: hex,
};

function hex(payload) {
  const lines = [];
  for (let at = 0; at < payload.length; at += 16) {
    const line = [...payload.subarray(at, at + 16)];
    const digits = line.map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
    const letters = line.map((byte) => (byte >= 32 && byte < 127 ? String.fromCharCode(byte) : ".")).join("");
    lines.push(`${at.toString(16).padStart(6, "0")}  ${digits.padEnd(47)}  ${letters}`);
  }
  return lines.join("\n");
}

// The form in which a payload says most.
export function fitting(payload) {
  try {
    const value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(payload));
    return typeof value === "object" && value !== null ? "JSON" : "Text";
  } catch {
    // Zero bytes and the like are no text, though UTF-8 has them.
    return /^[^\u0000-\u0008\u000e-\u001f\ufffd]*$/.test(new TextDecoder().decode(payload)) ? "Text" : "Hex";
  }
}
