// What can be written at a place of a plan, from the schema. YAML by its indentation and, within a line, by its braces:
// enough to know the keys that enclose a place, without reading the whole text.

export interface Schema {
  description?: string;
  properties?: Record<string, Schema>;
  additionalProperties?: Schema | boolean;
  items?: Schema;
  anyOf?: Schema[];
  enum?: unknown[];
  const?: unknown;
  type?: string | string[];
  $ref?: string;
  $defs?: Record<string, Schema>;
}

export interface Completion {
  text: string;
  about: string;
}

/** A place where something is being written. */
export interface Place {
  /** The keys around it, outermost first; `-` is an item of a list. */
  path: string[];
  /** What is there of it already. */
  begun: string;
  /** The key whose value it is; nothing where it is a key itself. */
  key: string | null;
}

const ITEM = "-";

/** Where a cursor is; nothing within comments and where nothing is known. */
export function placeOf(text: string, cursor: number): Place | null {
  const lines = text.slice(0, cursor).split("\n");
  const line = lines.pop() ?? "";
  if (/(^|\s)#/.test(line)) return null;
  const begun = /[\w$<.-]*$/.exec(line)?.[0] ?? "";
  const before = line.slice(0, line.length - begun.length);
  const within = flow(before);
  if (within) {
    const { around, keys, key } = within;
    return { path: [...block(lines, around), ...keys], begun, key };
  }
  // `key: val`: a value; `- ` and spaces: a key.
  const value = /^(\s*(?:- +)*)([\w$.-]+):\s+$/.exec(before);
  if (value) return { path: block(lines, value[1] ?? ""), begun, key: value[2] ?? null };
  return /^\s*(?:- +)*$/.test(before) ? { path: block(lines, before), begun, key: null } : null;
}

/** The keys around what is written after `head` (spaces and dashes of its line), by the lines before it. */
function block(lines: string[], head: string): string[] {
  const path: string[] = [];
  let limit = head.length;
  // A list may begin where its key does.
  let ofList = false;
  const enter = (dashes: string) => {
    for (let at = dashes.length - 1; at >= 0; at--) {
      if (dashes[at] === ITEM && at < limit) {
        path.push(ITEM);
        limit = at;
        ofList = true;
      }
    }
  };
  enter(head);
  for (let row = lines.length - 1; row >= 0 && (limit > 0 || ofList); row--) {
    const [, dashes = "", key] = /^(\s*(?:- +)*)([\w$.-]+):(?:\s|$)/.exec(lines[row] ?? "") ?? [];
    if (key === undefined) {
      const lone = /^\s*-\s*$/.exec(lines[row] ?? "");
      if (lone) enter(lone[0].trimEnd());
      continue;
    }
    if (dashes.length < limit || (ofList && dashes.length === limit)) {
      path.push(key);
      limit = dashes.length;
      ofList = false;
    }
    enter(dashes);
  }
  return path.reverse();
}

/** Within braces of one line: the keys around, from the line's own key on. */
function flow(before: string): { around: string; keys: string[]; key: string | null } | null {
  const [, around = "", own = "", rest = ""] = /^(\s*(?:- +)*)(?:([\w$.-]+):\s+)?([[{].*)$/.exec(before) ?? [];
  if (rest === "") return null;
  const open: { list: boolean; key: string | null }[] = [];
  for (const [token] of rest.matchAll(/"[^"]*"|'[^']*'|[[\]{},]|[\w$.-]+:(?=\s|$)/g)) {
    const last = open.at(-1);
    if (token === "{" || token === "[") open.push({ list: token === "[", key: null });
    else if (token === "}" || token === "]") open.pop();
    else if (token === "," && last) last.key = null;
    else if (token.endsWith(":") && last) last.key = token.slice(0, -1);
  }
  const last = open.pop();
  if (!last) return null;
  const keys = open.map(({ list, key }) => (list ? ITEM : (key ?? "")));
  if (last.list) keys.push(ITEM);
  return { around, keys: own ? [own, ...keys] : keys, key: last.list ? null : last.key };
}

/** A schema and all that it may be instead. */
function alternatives(schema: Schema, root: Schema, depth = 0): Schema[] {
  if (depth > 8) return [];
  const named = /^#\/\$defs\/(.+)$/.exec(schema.$ref ?? "")?.[1];
  const referred = named ? root.$defs?.[named] : undefined;
  return [schema, ...(referred ? alternatives(referred, root, depth + 1) : []), ...(schema.anyOf ?? []).flatMap((one) => alternatives(one, root, depth + 1))];
}

function inside(schemas: Schema[], key: string, root: Schema): Schema[] {
  const found = schemas.flatMap((schema) => {
    if (key === ITEM) return schema.items ? [schema.items] : [];
    const own = schema.properties?.[key];
    const any = typeof schema.additionalProperties === "object" ? schema.additionalProperties : null;
    return own ? [own] : any ? [any] : [];
  });
  return found.flatMap((schema) => alternatives(schema, root));
}

/** What may stand at a place, that goes on with what is there of it. */
export function completions(root: Schema, place: Place): Completion[] {
  const around = place.path.reduce((schemas, key) => inside(schemas, key, root), alternatives(root, root));
  const all = place.key === null ? keysOf(around) : valuesOf(inside(around, place.key, root));
  const seen = new Set<string>();
  return all.filter(({ text }) => {
    const good = text.startsWith(place.begun) && text !== place.begun && !seen.has(text);
    seen.add(text);
    return good;
  });
}

function keysOf(schemas: Schema[]): Completion[] {
  return schemas.flatMap(({ properties }) =>
    Object.entries(properties ?? {}).map(([text, { description }]) => ({ text, about: description ?? "" })),
  );
}

function valuesOf(schemas: Schema[]): Completion[] {
  const words = schemas.flatMap((schema) => [
    ...(schema.enum ?? []),
    ...(schema.const === undefined ? [] : [schema.const]),
    ...(schema.type === "boolean" ? [true, false] : []),
  ]);
  return words.map((word) => ({ text: String(word), about: "" }));
}
