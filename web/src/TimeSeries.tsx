// Values over time; dragging picks a range.
import { useEffect, useRef } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { getValueFormat, type Theme } from "@grafana/data";
import type { Series } from "./api";
import type { Range } from "./time";

const COLORS = ["#5794f2", "#ff9830", "#73bf69", "#f2495c", "#b877d9", "#fade2a"];
const HEIGHT = 160;

interface Props {
  data: Series;
  unit: string;
  /** What the axis shows, whether or not there are values everywhere. */
  range: Range;
  theme: Theme;
  onRange: (range: Range) => void;
}

export function TimeSeries({ data, unit, range, theme, onRange }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const picked = useRef(onRange);
  picked.current = onRange;

  useEffect(() => {
    const element = box.current!;
    const stroke = theme.colors.text.secondary;
    const grid = { stroke: theme.colors.border.weak, width: 1 };
    const format = getValueFormat(unit);
    const show = (value: number | null) => {
      if (value == null) return "–";
      const { text, suffix } = format(value);
      return text + (suffix ?? "");
    };
    const color = (at: number) => COLORS[at % COLORS.length];
    const plot = new uPlot(
      {
        width: element.clientWidth,
        height: HEIGHT,
        cursor: { drag: { x: true, y: false, setScale: false } },
        scales: {
          x: { range: [range.from, range.until] },
          y: { range: (_, __, max) => [0, max > 0 ? max * 1.05 : 1] },
        },
        axes: [
          { stroke, grid },
          { stroke, grid, size: 80, values: (_, ticks) => ticks.map(show) },
        ],
        series: [
          {},
          ...data.labels.map((label, at) => ({
            label,
            stroke: color(at),
            width: 1.5,
            points: { show: data.ts.length < 60 },
            value: (_: uPlot, value: number | null) => show(value),
          })),
        ],
        hooks: {
          setSelect: [
            (u) => {
              if (u.select.width < 3) return;
              const at = (x: number) => Math.round(u.posToVal(x, "x"));
              picked.current({
                from: at(u.select.left),
                until: Math.max(at(u.select.left + u.select.width), at(u.select.left) + 1),
              });
            },
          ],
        },
      },
      [data.ts, ...data.series] as uPlot.AlignedData,
      element,
    );
    const resize = new ResizeObserver(() => plot.setSize({ width: element.clientWidth, height: HEIGHT }));
    resize.observe(element);
    return () => {
      resize.disconnect();
      plot.destroy();
    };
  }, [data, unit, theme, range.from, range.until]);

  return <div ref={box} role="img" aria-label="Value over time" className="ts" data-testid="timeseries" />;
}
