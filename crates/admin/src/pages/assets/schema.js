// What a description's JSON schemas say, in words and as an example.

export class Schemas {
  constructor(document) {
    this.document = document;
  }

  // Without `$ref`.
  plain(schema = {}) {
    const at = schema.$ref?.split("/").slice(1);
    return at ? this.plain(at.reduce((value, key) => value[key], this.document)) : schema;
  }

  type(schema) {
    const { type, items, enum: values } = this.plain(schema);
    if (values) return values.map((value) => JSON.stringify(value)).join(" or ");
    const known = [type].flat().filter((name) => name !== undefined && name !== "null");
    if (known.length === 0) return "anything";
    return known.map((name) => (name === "array" ? `list of ${this.type(items)}` : name)).join(" or ");
  }

  // Name, type, what it means, and whether it must be there, of each field of an object or of a list's objects.
  fields(schema) {
    const { properties = {}, required = [], items } = this.plain(schema);
    if (items) return this.fields(items);
    return Object.entries(properties).map(([name, field]) => (
      { name, type: this.type(field), about: field.description ?? this.plain(field).description, isRequired: required.includes(name) }));
  }

  // Fields that must be there, and those of which an example is known.
  example(schema) {
    const { example, default: usual, enum: values, type, items, properties = {}, required = [] } = this.plain(schema);
    if (example !== undefined) return example;
    if (usual !== undefined) return usual;
    if (values) return values[0];
    const name = [type].flat()[0];
    if (name === "array") return [this.example(items)];
    if (name === "string" || name === undefined) return "";
    if (name === "boolean") return false;
    if (name === "integer" || name === "number") return 0;
    const shown = Object.entries(properties).filter(([key, field]) => required.includes(key) || this.plain(field).example !== undefined);
    return Object.fromEntries(shown.map(([key, field]) => [key, this.example(field)]));
  }
}
