// The types of what the daemon sends, from the schemas of docs/openapi.json (which is made from those of the daemon).
import openapiTS, { astToString } from "openapi-typescript";
import { readFileSync } from "node:fs";

// What the page reads; what these refer to comes with them.
const kRoots = ["Catalogue", "Cells", "EndedRequests", "Estimate", "EventModel", "EventRequest", "HelloEvent", "History", "ModelList", "Node", "NodeModel", "ParallelEvent", "Pull", "Session", "Turns", "TurnsFrame"];

function referred(json, names = new Set()) {
  if (typeof json?.$ref === "string") names.add(json.$ref.replace("#/components/schemas/", ""));
  if (typeof json === "object" && json !== null) for (const inside of Object.values(json)) referred(inside, names);
  return names;
}

// The text of src/net/openapi.ts.
export async function typesOf(document) {
  const all = JSON.parse(readFileSync(document, "utf8"));
  const schemas = {};
  for (const names = [...kRoots]; names.length > 0; ) {
    const name = names.pop();
    if (name in schemas) continue;
    schemas[name] = all.components.schemas[name];
    if (schemas[name] === undefined) throw new Error(`${document} has no schema ${name}`);
    names.push(...referred(schemas[name]));
  }
  const sorted = Object.fromEntries(Object.entries(schemas).sort(([a], [b]) => (a < b ? -1 : 1)));
  const made = await openapiTS({ openapi: all.openapi, info: all.info, paths: {}, components: { schemas: sorted } });
  return `// Written by \`./dev web\` from docs/openapi.json.\n${astToString(made)}`;
}
