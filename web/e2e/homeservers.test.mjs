// One focus for two homeservers of one operator, each a real Synapse that loads what the focus wrote for it.
import assert from "node:assert/strict";
import { execFile as execute } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { askDoor } from "./element.mjs";
import { bin, freePort, makeFocus, until } from "./focus.mjs";
import { startSynapse } from "./synapse.mjs";

const execFile = promisify(execute);
const names = ["one.test", "two.test"];
let folder, focus, synapses, worlds, sides;

before(async () => {
    folder = await mkdtemp(join(tmpdir(), "weir-homeservers-"));
    const ports = [await freePort(), await freePort()];
    const section = (i) => ({ server_name: names[i], internal_url: `http://127.0.0.1:${ports[i]}`, registration_file: join(folder, `${names[i]}.yaml`) });
    focus = await makeFocus({ homeserver: section(0), homeservers: [section(1)] });
    const advices = await Promise.all(
        names.map(async (name) => {
            await execFile(`${bin}/weir`, ["registration", "--config", focus.file, "--for", name, "--write"]);
            const advice = join(folder, `${name}-synapse.yaml`);
            await writeFile(advice, (await execFile(`${bin}/weir`, ["advise", "synapse", "--config", focus.file, "--for", name])).stdout);
            return advice;
        }),
    );
    const started = await Promise.allSettled([
        ...names.map((serverName, i) => startSynapse({ serverName, port: ports[i], advice: advices[i] })),
        focus.start(),
    ]);
    synapses = started.slice(0, 2).map((s) => s.value);
    const failed = started.find((s) => s.status === "rejected");
    if (failed) throw failed.reason;
    worlds = synapses.map((synapse) => ({ synapse, focus, service: focus.http }));
    // At each homeserver two users with a room of theirs. The two do not know of each other's rooms.
    sides = await Promise.all(
        synapses.map(async (synapse) => {
            const [owner, guest] = await Promise.all(["owner", "guest"].map((name) => synapse.register(name)));
            const room = await owner.createRoom({ invite: [guest] });
            await guest.join(room);
            return { owner, guest, room };
        }),
    );
});

after(async () => {
    await focus?.close();
    await Promise.all((synapses ?? []).map((synapse) => synapse?.close()));
    if (folder) await rm(folder, { recursive: true, force: true });
});

for (const i of [0, 1]) {
    test(`users of ${names[i]} get tokens at every door for their room, and for no other`, async () => {
        const { owner, guest, room } = sides[i];
        for (const door of ["/sfu/get", "/get_token", "proxied"]) {
            for (const user of [owner, guest]) {
                const answer = await askDoor(worlds[i], door, user, room);
                assert.equal(answer.status, 200, `${door} ${user.id}: ${JSON.stringify(answer)}`);
                assert.ok(answer.jwt, door);
            }
            const other = await askDoor(worlds[i], door, owner, sides[1 - i].room);
            assert.deepEqual([other.status, other.errcode], [403, "M_FORBIDDEN"], `${door}: ${JSON.stringify(other)}`);
        }
    });

    test(`an OpenID token of ${names[i]} is none of the other's`, async () => {
        const openid = { ...(await sides[i].owner.openid()), matrix_server_name: names[1 - i] };
        const answer = await askDoor(worlds[i], "/sfu/get", sides[i].owner, sides[i].room, { openid });
        assert.deepEqual([answer.status, answer.errcode], [401, "M_UNAUTHORIZED"]);
    });

    test(`who is banned at ${names[i]} gets in no more, and an old token opens nothing`, async () => {
        const { owner, guest, room } = sides[i];
        const { jwt } = await askDoor(worlds[i], "/sfu/get", guest, room);
        const validate = () => fetch(`${focus.http}/rtc/validate?access_token=${jwt}`).then((r) => r.status);
        assert.equal(await validate(), 200);
        const from = Date.now();
        await owner.ban(room, guest);
        await until("the token to be refused", async () => (await validate()) !== 200, 5_000);
        console.log(`${names[i]}: refused ${Date.now() - from} ms after the ban`);
        assert.equal((await askDoor(worlds[i], "/sfu/get", guest, room)).status, 403);
    });
}

test("while one homeserver is down the users of the other get tokens, and its own again when it is back", async () => {
    const [one, two] = sides;
    await synapses[0].stop();
    assert.equal((await askDoor(worlds[1], "/sfu/get", two.owner, two.room)).status, 200);
    await synapses[0].start();
    assert.equal((await askDoor(worlds[0], "/sfu/get", one.owner, one.room)).status, 200);
});
