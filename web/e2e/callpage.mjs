// The call page in a browser window of its own, and what tests ask of it.
import { until } from "./focus.mjs";

/** Opens the page that a world's focus serves, for a user of its homeserver; it joins the room's call at once. */
export async function openCallPage(world, user, room, { password, viewport = { width: 1000, height: 700 } } = {}) {
    const context = await world.browser.newContext({ viewport, permissions: ["camera", "microphone"] });
    const page = await context.newPage();
    const lines = [];
    page.on("console", (message) => lines.push(`${message.type()}: ${message.text()}`));
    page.on("pageerror", (error) => lines.push(`page error: ${error.message}`));
    const link = new URLSearchParams({ homeserver: world.synapse.http, user: user.id, login: user.password, room, ...(password && { password }) });
    await page.goto(`${world.service}/call/#${link}`);
    await page.waitForSelector(".stage .tile", { timeout: 30_000 }).catch(async (error) => {
        throw new Error(`${user.id} does not come in: ${await page.textContent("body")}\n${lines.slice(-40).join("\n")}`, { cause: error });
    });

    /** Frames shown of others, by user id. */
    const frames = () =>
        page.evaluate(() => {
            const shown = [...document.querySelectorAll(".tile:not(.mirror)")];
            return Object.fromEntries(shown.map((t) => [t.dataset.identity.split(":").slice(0, 2).join(":"), t.querySelector("video").getVideoPlaybackQuality().totalVideoFrames]));
        });
    return {
        page,
        user,
        lines,
        frames,
        notices: async () => (await page.locator(".notice").allTextContents()).filter(Boolean),

        /** Waits until pictures of each of these users move, from now on. */
        async sees(...others) {
            const start = await frames();
            await until(
                `${user.id} to see ${others.map((other) => other.id)}`,
                async () => {
                    const now = await frames();
                    return others.every(({ id }) => now[id] > (start[id] ?? 0) + 10);
                },
                45_000,
            );
        },

        /** The newest index of a key in use by the participant of a user, as the frame worker logs it. */
        keyOf(other) {
            const said = lines.map((line) => line.match(/set participant sender key (\S+) index (\d+)/)).filter((m) => m?.[1].startsWith(`${other.id}:`));
            return Math.max(-1, ...said.map((m) => Number(m[2])));
        },

        async leave() {
            await page.click("#leave");
            await page.getByText("You left the call").waitFor();
        },

        report: () => [`-- ${user.id}`, ...lines.slice(-40)].join("\n"),
        close: () => context.close(),
    };
}
