// Puts what vite built into ../dist, each file gzipped: that is what the binary embeds. With `check` it compares instead.
// Compared are the contents, since another version of zlib packs the same bytes differently.
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gunzipSync, gzipSync } from "node:zlib";

const built = fileURLToPath(new URL("build/", import.meta.url));
const dist = fileURLToPath(new URL("../dist/", import.meta.url));

async function files(folder) {
    const all = await readdir(folder, { recursive: true, withFileTypes: true });
    return all.filter((f) => f.isFile()).map((f) => join(f.parentPath, f.name).slice(folder.length)).sort();
}

async function write() {
    await rm(dist, { recursive: true, force: true });
    for (const name of await files(built)) {
        const to = join(dist, `${name}.gz`);
        await mkdir(dirname(to), { recursive: true });
        await writeFile(to, gzipSync(await readFile(join(built, name)), { level: 9 }));
    }
}

async function check() {
    const ours = (await files(dist)).map((name) => name.replace(/\.gz$/, ""));
    const theirs = await files(built);
    const wrong = theirs.filter((name) => !ours.includes(name)).concat(ours.filter((name) => !theirs.includes(name)));
    for (const name of theirs.filter((n) => ours.includes(n))) {
        const packed = gunzipSync(await readFile(join(dist, `${name}.gz`)));
        if (!packed.equals(await readFile(join(built, name)))) wrong.push(name);
    }
    if (wrong.length === 0) return;
    console.error(`web/dist is not what web/call builds (make bundle): ${wrong.join(", ")}`);
    process.exitCode = 1;
}

await (process.argv[2] === "check" ? check() : write());
