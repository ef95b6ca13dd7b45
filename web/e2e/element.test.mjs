// Unmodified Element Call in Chromium, real Synapse, Weir: two users talk in an encrypted room, in both of its modes.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { askDoor, startWorld } from "./element.mjs";
import { until } from "./focus.mjs";

let world;

before(async () => {
    const from = Date.now();
    world = await startWorld();
    console.log(`Synapse, focus and browser are up after ${Date.now() - from} ms`);
});

after(async () => {
    const status = await world?.close();
    // 75: a browser was closed without leaving, and its place is kept for longer than the drain waits.
    assert.ok([0, 75].includes(status), `weir ended with status ${status}:\n${world?.focus.output()}`);
});

const hash = (...parts) => createHash("sha256").update(JSON.stringify(parts)).digest("base64").replace(/=+$/, "");
const claims = (jwt) => JSON.parse(Buffer.from(jwt.split(".")[1], "base64url"));

/** What each mode does differently (matrixrtc.md section 11). */
const modes = [
    {
        name: "compatibility",
        door: "/sfu/get",
        identity: (user) => `${user.id}:${user.device}`,
        async members(user, room) {
            const members = await user.stateMembers(room);
            for (const { content } of members) {
                assert.equal(content.foci_preferred[0].livekit_service_url, world.service);
            }
            return members;
        },
    },
    {
        name: "matrix_2_0",
        door: "/get_token",
        identity: (user, sent) => hash(user.id, user.device, sent.member.id),
        async members(user, room) {
            assert.deepEqual(await user.stateMembers(room), [], "no state membership beside the sticky one");
            // Each is one that the homeserver can't read: it sees who, where and how long.
            return (await user.sticky(room)).filter((event) => event.type === "m.room.encrypted");
        },
    },
];

for (const mode of modes) {
    describe(`Element Call, ${mode.name}`, () => {
        let alice, bob, room, hosts;

        before(async () => {
            [alice, bob] = await Promise.all([world.synapse.register(`alice-${mode.name}`), world.synapse.register(`bob-${mode.name}`)]);
            room = await alice.createRoom({ encrypted: true, invite: [bob] });
            hosts = await Promise.all([alice, bob].map((user) => world.host(user, room, mode.name)));
        });
        after(async () => {
            await Promise.all((hosts ?? []).map((host) => host.close()));
        });

        test("two talk in an encrypted room: both decode the other's picture and hear the other's voice", async () => {
            const from = Date.now();
            try {
                await Promise.all(hosts.map((host) => host.call()));
                await Promise.all(hosts.map((host) => host.sees(1)));
            } catch (error) {
                for (const host of hosts) console.error(await host.report());
                console.error(world.focus.output().slice(-4000));
                throw error;
            }
            console.log(`${mode.name}: token after ${Math.min(...hosts.map((h) => h.door(mode.door)[0].at)) - from} ms, both see and hear after ${Date.now() - from} ms`);
            for (const host of hosts) {
                const { keys, errors } = await host.seen();
                assert.deepEqual(errors, []);
                assert.ok(keys.length > 0, "a media key came");
                assert.ok(keys.every((key) => key.encrypted), "media keys come encrypted");
            }
        });

        test("tokens come from the focus, with the documented names", async () => {
            for (const host of hosts) {
                const tokens = host.door(mode.door);
                assert.ok(tokens.length > 0, `${mode.door} was asked`);
                for (const { origin, status, sent, answer } of tokens) {
                    assert.equal(origin, world.service);
                    assert.equal(status, 200);
                    const { url, jwt } = await answer;
                    assert.equal(url, world.focus.ws);
                    const { sub, video } = claims(jwt);
                    assert.equal(sub, mode.identity(host.user, sent));
                    assert.equal(video.room, hash(room, "m.call#ROOM"));
                }
            }
        });

        test("both memberships are in the room", async () => {
            const members = await mode.members(alice, room);
            assert.deepEqual(new Set(members.map((event) => event.sender)), new Set([alice.id, bob.id]));
        });

        test("who hangs up is gone for the other", async () => {
            const [first, second] = hosts;
            const from = Date.now();
            await first.press("End call");
            await until(`${alice.id} to be gone from bob's call`, async () => !(await second.text()).includes(alice.id.split(/[@:]/)[1]));
            console.log(`${mode.name}: gone for the other ${Date.now() - from} ms after hanging up`);
            await until("the widget to ask its host to close it", async () => (await first.seen()).actions.includes("io.element.close"));
            if (mode.name === "compatibility") {
                await until("the membership to be taken back", async () => (await bob.stateMembers(room)).every((event) => event.sender !== alice.id));
            }
        });

        if (mode.name === "compatibility") {
            test("a client that is killed leaves no ghost", async () => {
                const from = Date.now();
                await hosts[1].kill();
                await until("the membership of the killed to be gone", async () => (await alice.stateMembers(room)).length === 0, 60_000);
                const took = Date.now() - from;
                console.log(`${mode.name}: no ghost ${took} ms after the kill`);
                assert.ok(took < 30_000, `the ghost stayed for ${took} ms`);
            });
        }
    });
}

describe("who is refused", () => {
    let alice, bob, room;

    before(async () => {
        [alice, bob] = await Promise.all([world.synapse.register("alice-doors"), world.synapse.register("bob-doors")]);
        room = await alice.createRoom({ encrypted: true, invite: [bob] });
    });

    for (const door of ["/sfu/get", "/get_token"]) {
        test(`${door}: a member of the room is not`, async () => {
            assert.equal((await askDoor(world, door, bob, room)).status, 200);
        });

        test(`${door}: a token that Synapse never gave`, async () => {
            const { status, errcode, cors } = await askDoor(world, door, bob, room, { openid: { ...(await bob.openid()), access_token: "made-up" } });
            assert.deepEqual([status, errcode, cors], [401, "M_UNAUTHORIZED", "*"]);
        });

        test(`${door}: a token of a server that is not there`, async () => {
            const { status, errcode } = await askDoor(world, door, bob, room, { openid: { ...(await bob.openid()), matrix_server_name: "127.0.0.1:1" } });
            assert.deepEqual([status, errcode], [401, "M_UNAUTHORIZED"]);
        });
    }

    test("/get_token: bob's token with alice's name", async () => {
        const { status, errcode } = await askDoor(world, "/get_token", alice, room, { openid: await bob.openid() });
        assert.deepEqual([status, errcode], [401, "M_UNAUTHORIZED"]);
    });
});
