// The focus knows its rooms: what it does when memberships end, when it is started anew, when the homeserver is away.
// It runs against a Synapse that has loaded the focus's registration: node --test element-rooms.mjs
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { askDoor, startWorld } from "./element.mjs";
import { until } from "./focus.mjs";

const outage = Number(process.env.OUTAGE ?? 25_000); // longer than Element Call's own delayed leave of 18 s
const doors = ["/sfu/get", "/get_token", "proxied"];

let world, alice, bob, carol, room;

before(async () => {
    world = await startWorld({ registered: "assert" });
    [alice, bob, carol] = await Promise.all(["alice", "bob", "carol"].map((name) => world.synapse.register(name)));
    room = await alice.createRoom({ encrypted: true, invite: [bob] });
});

after(async () => {
    const status = await world?.close();
    assert.equal(status, 0, `weir ended with status ${status}:\n${world?.focus.output()}`);
});

for (const door of doors) {
    test(`${door}: a member of the room gets a token, another user is refused`, async () => {
        const member = await askDoor(world, door, bob, room);
        assert.equal(member.status, 200, JSON.stringify(member));
        const stranger = await askDoor(world, door, carol, room);
        assert.deepEqual([stranger.status, stranger.errcode], [403, "M_FORBIDDEN"], JSON.stringify(stranger));
        // Nobody learns here which rooms there are.
        const nowhere = await askDoor(world, door, carol, "!there-is-no-such-room");
        assert.deepEqual([nowhere.status, nowhere.errcode, nowhere.error], [stranger.status, stranger.errcode, stranger.error]);
    });
}

describe("a running call", () => {
    let hosts, tokens;

    before(async () => {
        hosts = await Promise.all([alice, bob].map((user) => world.host(user, room, "compatibility")));
        await Promise.all(hosts.map((host) => host.call()));
        await Promise.all(hosts.map((host) => host.sees(1)));
        tokens = await Promise.all(hosts.map(async (host) => (await host.door("/sfu/get").at(-1).answer).jwt));
    });
    after(async () => {
        await Promise.all((hosts ?? []).map((host) => host.close()));
    });

    /** Both hear and see each other, over connections made after a moment. */
    const alive = () => Promise.all(hosts.map((host) => host.receives()));

    test("the focus took over the delayed leaves", async () => {
        for (const user of [alice, bob]) {
            const leaves = await user.delayed();
            assert.ok(leaves.some((event) => event.delay === 3_600_000 || event.delay_ms === 3_600_000), JSON.stringify(leaves));
        }
    });

    test("it goes on while the homeserver is away, and joins resume after", async () => {
        const connections = hosts.map((host) => host.sockets.length);
        await world.synapse.stop();
        const end = Date.now() + outage;
        while (Date.now() < end) await alive();
        await world.synapse.start();
        await until("tokens again", async () => (await askDoor(world, "/sfu/get", bob, room)).status === 200);
        await alive();
        assert.deepEqual(hosts.map((host) => host.sockets.length), connections, "nobody had to connect anew");
    });

    test("clients resume after the focus was killed and started again", async () => {
        await world.focus.stop("SIGKILL");
        const from = Date.now();
        await world.focus.start();
        await alive();
        console.log(`media again ${Date.now() - from} ms after the start`);
        assert.equal((await alice.stateMembers(room)).length, 2);
    });

    test("who is banned is out within a second, and the old token is worth nothing", async () => {
        const [first, second] = hosts;
        const socket = second.sockets.findLast((s) => s.url.port === String(world.focus.port));
        await alice.ban(room, bob);
        const from = Date.now();
        await until("bob's connection to be closed", async () => socket.closed);
        const took = socket.closed - from;
        console.log(`out of the call ${took} ms after the ban`);
        assert.ok(took < 1000, `it took ${took} ms`);
        const again = await fetch(`${world.service}/rtc/validate?access_token=${tokens[1]}`);
        assert.notEqual(again.status, 200, "the old token still opens the door");
        for (const door of doors) {
            const refused = await askDoor(world, door, bob, room);
            assert.deepEqual([refused.status, refused.errcode], [403, "M_FORBIDDEN"], door);
        }
        await until("bob to be gone for alice", async () => !(await first.streams()).some((s) => s.way === "inbound" && s.kind === "video"));
    });

    test("a client that is killed leaves no ghost, though the homeserver would wait an hour", async () => {
        await alice.invite(room, carol);
        await carol.join(room);
        const from = Date.now();
        await hosts[0].kill();
        await until("the membership to be gone", async () => (await carol.stateMembers(room)).every((event) => event.sender !== alice.id), 60_000);
        const took = Date.now() - from;
        console.log(`no ghost ${took} ms after the kill`);
        assert.ok(took < 30_000, `the ghost stayed for ${took} ms`);
    });
});
