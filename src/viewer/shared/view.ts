/** What of the world is on the canvas: the world's place in its middle, and CSS pixels a page. */
export interface View {
  readonly x: number;
  readonly y: number;
  readonly zoom: number;
}

export interface Size {
  readonly width: number;
  readonly height: number;
}

/** Room around the world when all of it is shown, CSS pixels. */
const margin = { left: 96, right: 96, top: 44, bottom: 34 };
export const largestZoom = 512;

export function wholeView(world: Size, canvas: Size): View {
  const width = Math.max(80, canvas.width - margin.left - margin.right);
  const height = Math.max(80, canvas.height - margin.top - margin.bottom);
  const zoom = Math.min(largestZoom, width / world.width, height / world.height);
  return {
    x: world.width / 2 + (margin.right - margin.left) / 2 / zoom,
    y: world.height / 2 + (margin.bottom - margin.top) / 2 / zoom,
    zoom,
  };
}

export function smallestZoom(world: Size, canvas: Size): number {
  return wholeView(world, canvas).zoom * 0.6;
}

/** Zooms by a factor so that what is at a place of the canvas stays there. */
export function zoomAt(view: View, canvas: Size, factor: number, atX: number, atY: number, least: number): View {
  const zoom = Math.max(least, Math.min(largestZoom, view.zoom * factor));
  const dx = atX - canvas.width / 2;
  const dy = atY - canvas.height / 2;
  return { zoom, x: view.x + dx / view.zoom - dx / zoom, y: view.y + dy / view.zoom - dy / zoom };
}

export function toWorld(view: View, canvas: Size, atX: number, atY: number): { x: number; y: number } {
  return { x: view.x + (atX - canvas.width / 2) / view.zoom, y: view.y + (atY - canvas.height / 2) / view.zoom };
}

/** Keeps some of the world on the canvas. */
export function clamp(view: View, world: Size): View {
  return {
    zoom: view.zoom,
    x: Math.max(0, Math.min(world.width, view.x)),
    y: Math.max(0, Math.min(world.height, view.y)),
  };
}
